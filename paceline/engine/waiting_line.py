"""The works that have not been admitted yet: they wait for room in the cache, or for their sequence."""

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from paceline.engine.errors import (
    BlocksExhaustedError,
    SequenceClosedError,
    WorkAbandonedError,
    WorkTooLargeError,
)
from paceline.engine.work import WorkHandle
from paceline.errors import PacelineError

# Starts a work, or answers it with an error; raises BlocksExhaustedError where there is no room for it. The flag says
# whether sessions between two rounds may lose their blocks to it.
StartWork = Callable[[WorkHandle, bool], None]


class AdmissionRules(NamedTuple):
    """How long works wait for room in the cache, and whom they may take it from.

    Attributes:
        max_waiting: Works that may wait for room; one more is refused at once.
        deadline_seconds: How long a work waits before it is refused. Half of that is its patience: then nobody is
            admitted before it any more, and it may take the blocks of any sequence that has no running work.
        protect_seconds: A sequence served within this time is a session between two rounds, and keeps its blocks.
    """

    max_waiting: int = 256
    deadline_seconds: float = 10.0
    protect_seconds: float = 1.0

    @property
    def patience_seconds(self) -> float:
        """How long a work lets those before it that go on with their sessions."""
        return self.deadline_seconds / 2


@dataclass
class _Waiting:
    handle: WorkHandle
    since: float | None = None  # when it first found no room, on the monotonic clock


@dataclass
class _Gate:
    """Who may still be admitted behind those that wait for room."""

    num_waiting: int = 0
    is_closed_to_newcomers: bool = False
    is_closed: bool = False

    def lets_pass(self, handle: WorkHandle) -> bool:
        return not (self.is_closed or (self.is_closed_to_newcomers and not handle.work.sequence.is_live))

    def close_behind(self, *, is_impatient: bool) -> None:
        self.num_waiting += 1
        self.is_closed_to_newcomers = True
        self.is_closed |= is_impatient


class WaitingLine:
    """Works in the order of their arrival. The scheduler thread alone changes it.

    A newcomer that finds no room waits, and all later newcomers behind it. Works of live sequences pass them: they
    hold blocks already, and the sooner they end, the sooner there is room. They pass only until the first in line has
    lost its patience, so that nobody is overtaken for ever. Background work never waits for room: it is refused.
    """

    def __init__(self, rules: AdmissionRules, clock: Callable[[], float] = monotonic) -> None:
        self._rules = rules
        self._clock = clock
        self._line: list[_Waiting] = []

    def __len__(self) -> int:
        return len(self._line)

    def __iter__(self) -> Iterator[WorkHandle]:
        return (one.handle for one in self._line)

    def join(self, handles: Iterable[WorkHandle]) -> None:
        """Queue works that have arrived."""
        self._line += [_Waiting(handle) for handle in handles]

    def admit(self, running: Set[int], start: StartWork) -> None:
        """Start whom there is room for, in order; `running` holds the id() of each sequence with a running work."""
        now, gate, taken = self._clock(), _Gate(), set(running)
        still_waiting: list[_Waiting] = []
        for one in self._line:
            sequence = one.handle.work.sequence
            if _has_ended(one.handle):
                continue
            if id(sequence) in taken:
                still_waiting.append(one)
            elif self._stays(one, now, gate, start):
                still_waiting.append(one)
                taken.add(id(sequence))
            elif one.handle.future.running():
                taken.add(id(sequence))
        self._line = still_waiting

    def refuse_all(self, error: PacelineError) -> None:
        """Answer everything with an error."""
        for handle in self:
            refuse(handle, error)
        self._line = []

    def _stays(self, one: _Waiting, now: float, gate: _Gate, start: StartWork) -> bool:
        """Try to start a work; return whether it has to wait on, for room."""
        work = one.handle.work
        is_impatient = one.since is not None and now - one.since >= self._rules.patience_seconds
        refusal: PacelineError = _behind_others(gate.num_waiting)
        if gate.lets_pass(one.handle):
            try:
                start(one.handle, is_impatient or work.sequence.is_live)
            except BlocksExhaustedError as error:
                refusal = error
            else:
                return False
        one.since = now if one.since is None else one.since
        is_late = now - one.since >= self._rules.deadline_seconds
        is_full = gate.num_waiting >= self._rules.max_waiting
        if work.background or is_late or is_full or isinstance(refusal, WorkTooLargeError):
            refuse(one.handle, refusal)
            return False
        gate.close_behind(is_impatient=is_impatient)
        return True


def refuse(handle: WorkHandle, error: PacelineError) -> None:
    """Answer a work with an error, unless it has an answer or was cancelled."""
    future = handle.future
    if future.running() or (not future.done() and future.set_running_or_notify_cancel()):
        future.set_exception(error)


def _has_ended(handle: WorkHandle) -> bool:
    """Whether a work need not run any more; if so, it has been answered."""
    if handle.future.cancelled():
        handle.future.set_running_or_notify_cancel()
    elif handle.work.sequence.is_closed:
        refuse(handle, SequenceClosedError("The session was released."))
    elif handle.is_abandoned:
        refuse(handle, abandoned())
    return handle.future.done()


def abandoned() -> WorkAbandonedError:
    """Return the error of a work that nobody waits for."""
    return WorkAbandonedError("Nobody waits for this round any more; send it again if you do.")


def _behind_others(num_waiting: int) -> BlocksExhaustedError:
    return BlocksExhaustedError(
        f"{num_waiting} others wait for room in the KV cache before this one. Try again later, use another replica, or "
        "give the replica more KV memory.",
        num_waiting=num_waiting,
    )
