"""`python -m paceline.engine.pytorch.follower DESCRIPTOR`: a process that holds a slice and does as it is told.

An engine starts it (`paceline.engine.pytorch.followers`) with one end of a pipe. Through it come an `Enlistment` and
then orders; back goes how many blocks the cache has, once the slice is loaded. It ends when it is told to, and at once
when the pipe does, so that it does not outlive an engine that was killed.
"""

import os
import sys
import traceback
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import NoReturn

from paceline.engine.pytorch.backend import load_share
from paceline.engine.pytorch.enlistment import Enlistment
from paceline.engine.pytorch.orders import END, carry_out
from paceline.engine.pytorch.precision import choose_device
from paceline.engine.pytorch.rank import find_meeting_place, join, leave
from paceline.errors import PacelineError


def main() -> NoReturn:
    """Follow until the end; what went wrong is the last that is written to stderr."""
    code = 1
    try:
        follow(Connection(int(sys.argv[1])))
        code = 0
    except PacelineError as error:
        sys.stderr.write(f"{error.message}\n")
    except BaseException:
        traceback.print_exc()
    _exit(code)


def follow(leader: Connection) -> None:
    """Load a slice, then carry out the leader's orders."""
    enlistment = Enlistment.from_bytes(leader.recv_bytes())
    orders: SimpleQueue[bytes] = SimpleQueue()
    # The pipe is listened to at all times: in a pass we may wait for a leader that is gone.
    Thread(target=_listen, args=(leader, orders), daemon=True).start()

    rank, config = enlistment.rank, enlistment.config
    device = rank.device(choose_device(config.device))
    mesh = join(rank, device, find_meeting_place(enlistment.port, rank.num_ranks))
    runner = load_share(config, device, mesh).runner
    leader.send_bytes(str(runner.num_blocks).encode())
    while (order := orders.get()) != END:
        carry_out(order, runner)
    leave()


def _listen(leader: Connection, orders: SimpleQueue[bytes]) -> None:
    try:
        while True:
            orders.put(leader.recv_bytes())
    except (EOFError, OSError):
        _exit(0)


def _exit(code: int) -> NoReturn:
    """End without the clean-up of libraries, which may wait for processes that are gone."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
