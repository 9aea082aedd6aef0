"""The processes beside the engine's own that hold a slice of its model each."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

import torch
from torch.distributed.device_mesh import DeviceMesh

from paceline.engine.config import EngineConfig
from paceline.engine.pytorch.call_thread import CallThread
from paceline.engine.pytorch.enlistment import Enlistment
from paceline.engine.pytorch.follower_process import FollowerProcess
from paceline.engine.pytorch.rank import Rank, join, leave, open_meeting_place
from paceline.errors import PacelineError

T = TypeVar("T")

# Where one of several that compute together fails, the others do within moments, if their library notices at all.
_MOMENT_SECONDS = 5.0


class Followers:
    """Computes together with them, without waiting for ever for one that is gone. One thread at a time.

    Attributes:
        pids: Their processes.
    """

    def __init__(self, config: EngineConfig, device: torch.device) -> None:
        """Start them: one for each slice but ours. Raises ConfigError where this process has a model in slices."""
        self._device = device
        self._num_ranks = config.tensor_parallel
        self._meeting_place = open_meeting_place(self._num_ranks)
        self._thread = CallThread("engine-slice")
        self._could_leave: bool | None = None
        self._processes = [
            FollowerProcess(Enlistment(Rank(number, self._num_ranks), self._meeting_place.port, config))
            for number in range(1, self._num_ranks)
        ]
        self.pids = [one.pid for one in self._processes]

    def meet(self) -> DeviceMesh:
        """Return all of us, once all have come; for the block of `beside`."""
        return join(Rank(0, self._num_ranks), self._device, self._meeting_place)

    def send(self, order: bytes) -> None:
        """Have all carry out an order; raises EngineFailedError where one has ended."""
        for one in self._processes:
            one.send(order)

    def num_blocks(self) -> list[int]:
        """Wait until all have loaded their slices, and return the blocks of their caches; raises EngineFailedError."""
        return [one.num_blocks() for one in self._processes]

    def beside(self, ours: Callable[[], T]) -> T:
        """Do our part of what all do together, and return what it returns.

        Raises what our part raises; EngineFailedError where that comes of a follower's end, or where one ends and our
        part does not: it may wait for ever then, and is left to.
        """
        part = self._thread.submit(ours)
        endings = [one.ending for one in self._processes]
        awaited: list[Future[Any]] = [part, *endings]
        wait(awaited, return_when=FIRST_COMPLETED)
        wait([part], timeout=_MOMENT_SECONDS)
        # What we ourselves refuse, they refuse too.
        if part.done() and (part.exception() is None or isinstance(part.exception(), PacelineError)):
            return part.result()
        wait(endings, timeout=_MOMENT_SECONDS, return_when=FIRST_COMPLETED)
        if ended := [one.result() for one in endings if one.done()]:
            raise min(ended, key=lambda one: one.seconds).error from (
                part.exception() if part.done() else None
            )
        return part.result()

    def on_end(self, tell: Callable[[PacelineError], None]) -> None:
        """Have somebody told of each that ends, for whatever reason, on a thread of ours."""
        for one in self._processes:
            one.ending.add_done_callback(lambda ending: tell(ending.result().error))

    def close(self) -> bool:
        """End them; False where our own part of a pass still runs, and may for ever."""
        if self._could_leave is None:
            self._could_leave = self._close()
        return self._could_leave

    def _close(self) -> bool:
        has_lost_one = any(one.ending.done() for one in self._processes)
        for one in self._processes:
            if has_lost_one:
                one.kill()
            else:
                one.ask_to_end()
        # NCCL does not take leave of processes that are gone.
        can_leave = self._thread.end(_MOMENT_SECONDS) and not (has_lost_one and self._device.type == "cuda")
        if can_leave:
            leave()
        for one in self._processes:
            one.wait()
        return can_leave
