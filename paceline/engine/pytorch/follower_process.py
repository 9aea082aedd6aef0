"""One follower, as the engine that started it sees it."""

import os
import signal
import subprocess
import sys
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing import Pipe
from threading import Thread
from time import monotonic
from typing import NamedTuple

import structlog

from paceline.engine.errors import EngineFailedError
from paceline.engine.pytorch.enlistment import Enlistment
from paceline.engine.pytorch.orders import END

_MODULE = "paceline.engine.pytorch.follower"
# Told with its end: what a traceback closes with.
_NUM_LAST_LINES = 3
# A process that closed its end of the pipe is about to end.
_DYING_SECONDS = 5.0
# One that was asked to end lets go of its device first.
_ENDING_SECONDS = 5.0

_log = structlog.get_logger()


class Ending(NamedTuple):
    """How a follower ended, and when, by the monotonic clock."""

    seconds: float
    error: EngineFailedError


class FollowerProcess:
    """Starts a follower, writes to it, and hears of its end.

    Attributes:
        pid: Its process.
        ending: Comes when it has ended, for whatever reason.
    """

    def __init__(self, enlistment: Enlistment) -> None:
        """Start it; what it prints is logged."""
        self.ending: Future[Ending] = Future()
        self._number = enlistment.rank.number
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in a terminal is for the leader, who lets it finish
                env={**os.environ, "NO_COLOR": "1"},
            )
        self.pid = self._process.pid
        Thread(target=self._watch, name=f"follower-{self._number}", daemon=True).start()
        self.send(enlistment.to_bytes())

    def send(self, order: bytes) -> None:
        """Hand over an order; raises EngineFailedError where it has ended."""
        try:
            self._pipe.send_bytes(order)
        except OSError:
            raise self._death() from None

    def num_blocks(self) -> int:
        """Wait until its slice is loaded, and return the blocks of its cache; raises EngineFailedError."""
        try:
            return int(self._pipe.recv_bytes())
        except (EOFError, OSError):
            raise self._death() from None

    def ask_to_end(self) -> None:
        """Let it end when it has done what it was told before."""
        with suppress(OSError):
            self._pipe.send_bytes(END)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def wait(self) -> None:
        """Wait until it has ended, which it is made to after a while."""
        with suppress(TimeoutError):
            self.ending.result(_ENDING_SECONDS)
        self._pipe.close()
        if not self.ending.done():
            self.kill()
        self.ending.result()

    def _watch(self) -> None:
        last_lines: deque[str] = deque(maxlen=_NUM_LAST_LINES)
        with self._process:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                last_lines.append(line.strip())
                _log.info("follower_says", follower=self._number, line=line.rstrip())
        message = (
            f"Follower {self._number}, which held a slice of the model (process {self.pid}), "
            f"{_manner(self._process.returncode)}"
        )
        if said := " / ".join(last_lines):
            message = f"{message}; it said last: {said}"
        self.ending.set_result(Ending(monotonic(), EngineFailedError(message)))

    def _death(self) -> EngineFailedError:
        try:
            return self.ending.result(_DYING_SECONDS).error
        except TimeoutError:
            return EngineFailedError(f"Follower {self._number} (process {self.pid}) closed its pipe")


def _manner(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    number = signal.Signals(-code)
    hint = ", as the system does where memory runs out" if number is signal.SIGKILL else ""
    return f"was ended by {number.name}{hint}"
