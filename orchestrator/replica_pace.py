"""How fast a replica answers, learned from the answers to all sessions of this orchestrator."""

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.ahead_record import AheadRecord
from orchestrator.moving_mean import MovingMean
from orchestrator.pair_record import PairRecord
from orchestrator.pass_curve import Level, PassCurve
from orchestrator.rounds import RoundTiming
from paceline.serving.placement import Placement

_MEMORY_ROUNDS = 32.0


class Batch(NamedTuple):
    """What a round finds at a target."""

    num_sessions: float  # in its pass, itself included
    queue_share: float  # passes that it waits for before its own


class BatchHistory:
    """Which share of a target's sessions meet in a pass, and how many passes a round waits for before its own."""

    def __init__(self) -> None:
        self._share = MovingMean(1.0, 1.0, _MEMORY_ROUNDS)
        self._queue = MovingMean(0.0, 1.0, _MEMORY_ROUNDS)

    def note(self, batch_sessions: int, num_sessions: int, queue_share: float) -> None:
        """Take in a round; `num_sessions` are those that are bound to the target."""
        self._share.add(batch_sessions / max(1, num_sessions))
        self._queue.add(min(queue_share, 4.0))

    def forecast(self, num_sessions: int) -> Batch:
        """Return what the next round will find while so many sessions are bound to the target."""
        return Batch(max(1.0, self._share.value * num_sessions), self._queue.value)


class TargetPace:
    """A target replica: seconds of its passes by rows, of the way there and back, and the company that rounds have.

    Rounds with draft tokens and without have their own company: those without come back at once and meet more others.
    Passes beside which a draft goes ahead have their own curve, because it may share the target's cores.
    """

    def __init__(self) -> None:
        level = Level()
        self._curves = {False: PassCurve(level), True: PassCurve(level)}
        self.hop = MovingMean(0.0, 0.0, _MEMORY_ROUNDS)
        self._batches = {False: BatchHistory(), True: BatchHistory()}

    @property
    def is_known(self) -> bool:
        """Whether any pass was seen."""
        return any(curve.is_known for curve in self._curves.values())

    @property
    def knows_both_ways(self) -> bool:
        """Whether passes were seen both beside drafting ahead and without."""
        return all(curve.is_known for curve in self._curves.values())

    def curve(self, *, is_ahead: bool) -> PassCurve:
        """Return the seconds of passes, beside drafting ahead or not; those of the other kind before any was seen."""
        return self._curves[is_ahead] if self._curves[is_ahead].is_known else self._curves[not is_ahead]

    def has_seen(self, rows: float) -> bool:
        """Whether some passes, of either kind, were about as large as that."""
        return any(curve.has_seen(rows) for curve in self._curves.values())

    def note(
        self,
        elapsed: float,
        timing: RoundTiming,
        num_sessions: int,
        num_draft_ids: int,
        *,
        is_ahead: bool = False,
    ) -> None:
        """Take in a verdict that came `elapsed` seconds after it was asked for."""
        self.hop.note(max(0.0, elapsed - timing.queue_seconds - timing.compute_seconds))
        if timing.num_steps != 1 or timing.compute_seconds <= 0.0:
            return  # a prefill, or a cache that was rebuilt
        batch_sessions = max(1, timing.batch_sessions)
        # One session's own rows are counted, so that the padding of a small pass does not hide what they cost.
        rows = num_draft_ids + 1 if batch_sessions == 1 else timing.batch_rows
        self._curves[is_ahead].note(max(1, rows), timing.compute_seconds, 1.0 / batch_sessions)
        queue_share = timing.queue_seconds / timing.compute_seconds
        self._batches[num_draft_ids > 0].note(batch_sessions, num_sessions, queue_share)

    def batch(self, num_sessions: int, *, is_drafted: bool) -> Batch:
        """Return what a round will find."""
        return self._batches[is_drafted].forecast(num_sessions)


class DraftPace:
    """A draft replica: seconds of a step, of the way there and back, and of waiting where it has to compute."""

    def __init__(self) -> None:
        self.step = MovingMean(0.0, 0.0, _MEMORY_ROUNDS)
        self.hop = MovingMean(0.0, 0.0, _MEMORY_ROUNDS)
        self.queue = MovingMean(0.0, 0.0, _MEMORY_ROUNDS)

    @property
    def is_known(self) -> bool:
        """Whether a proposal was computed."""
        return self.step.weight > 0

    def note(self, elapsed: float, timing: RoundTiming) -> None:
        """Take in a proposal that came `elapsed` seconds after it was asked for."""
        if timing.num_steps == 0:  # it was there already
            self.hop.note(elapsed)
            return
        self.hop.note(max(0.0, elapsed - timing.queue_seconds - timing.compute_seconds))
        self.queue.note(timing.queue_seconds)
        self.step.note(timing.compute_seconds / timing.num_steps)


class ReplicaPace:
    """What the sessions of one replica share of its speed, until another process takes its place.

    Attributes:
        verdicts: Of a target.
        proposals: Of a draft.
        placement: The cores that it computes on, where it tells.
    """

    def __init__(self, placement: Placement | None = None) -> None:
        self.placement = placement
        self.verdicts = TargetPace()
        self.proposals = DraftPace()
        self._pairs: dict[str, PairRecord] = {}

    @property
    def pairs(self) -> Mapping[str, PairRecord]:
        """What is shared with drafters, by their addresses or names."""
        return self._pairs

    def pair(self, drafter: str, placement: Placement | None = None) -> PairRecord:
        """Return what is shared with a drafter: the address of a draft and its cores, or another name."""
        record = self._pairs.get(drafter)
        if record is None:
            share_cores = bool(self.placement and placement and self.placement.shares_cores_with(placement))
            record = PairRecord(AheadRecord(is_on=not share_cores), shares_cores=share_cores)
            self._pairs[drafter] = record
        return record
