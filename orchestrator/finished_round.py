"""A round that is over, in numbers: what metrics, traces and logs are made from."""

from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.measurements import split_time
from orchestrator.rounds import RoundTiming
from paceline.client.generation import TokenOrigin


class RoundTimes(NamedTuple):
    """When a round's parts began and ended, in seconds on the monotonic clock.

    Attributes:
        started_at: The round.
        asked_draft_at: Its wait for draft tokens; the start where it did not wait.
        asked_target_at: Its wait for the verdict, which ends the one before.
        judged_at: The end of that.
        committed_at: When its commit was on the way to Redis.
        ended_at: When its tokens were handed to the client's stream.
        failover_seconds: What of the wait for the verdict went to finding another target.
    """

    started_at: float
    asked_draft_at: float
    asked_target_at: float
    judged_at: float
    committed_at: float
    ended_at: float
    failover_seconds: float = 0.0


class FinishedRound(NamedTuple):
    """What became of a round.

    Attributes:
        number: Of the round in its session.
        position: Ids before those that it added.
        epoch: Under which it was committed.
        times: When.
        drafter: Where the draft tokens came from: "model", "prompt_lookup", "prediction" or "none".
        num_wanted: Draft tokens that were asked for.
        num_drafted: Those that the target judged.
        num_accepted: Those that it accepted.
        num_tokens: Ids that the round added to the text.
        own_origin: What the target's own ids among them are.
        num_ahead: Draft tokens that were there before they were asked for.
        num_dropped: Tokens that were drafted ahead in vain.
        ahead_outcome: What had become of drafting ahead; empty where no draft told.
        degraded_reason: Why the draft gave none; empty where it did or was not asked.
        draft_timing: Where the draft's time went; None where none answered.
        target_timing: Where the target's time went.
        failovers: Why it moved from one target to another.
        target_replica_id: Who judged.
        draft_replica_id: Who drafted; empty where nobody did.
    """

    number: int
    position: int
    epoch: int
    times: RoundTimes
    drafter: str
    num_wanted: int
    num_drafted: int
    num_accepted: int
    num_tokens: int
    own_origin: TokenOrigin
    num_ahead: int
    num_dropped: int
    ahead_outcome: str
    degraded_reason: str
    draft_timing: RoundTiming | None
    target_timing: RoundTiming
    failovers: tuple[str, ...]
    target_replica_id: str
    draft_replica_id: str

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.times.ended_at - self.times.started_at

    def parts(self) -> Iterator[tuple[str, float]]:
        """Yield the parts of the round and their seconds, which add up to `seconds`."""
        times = self.times
        rest = self.seconds
        for name, part in self._waits():
            rest -= part
            yield name, part
        waited_for_client = times.ended_at - times.committed_at
        waited_for_redis = times.committed_at - times.judged_at
        yield "commit", waited_for_redis
        yield "client", waited_for_client
        yield "orchestrator", rest - waited_for_redis - waited_for_client

    def _waits(self) -> Iterator[tuple[str, float]]:
        times = self.times
        waited_for_draft = times.asked_target_at - times.asked_draft_at
        if self.draft_timing is not None:
            draft = split_time(waited_for_draft, self.draft_timing)
            yield "draft_queue", draft.queue
            yield "draft_compute", draft.compute
            yield "draft_network", draft.network
        elif self.degraded_reason:
            yield "draft_missing", waited_for_draft
        target = split_time(
            times.judged_at - times.asked_target_at - times.failover_seconds, self.target_timing
        )
        yield "target_queue", target.queue
        yield "target_compute", target.compute
        yield "target_network", target.network
        if times.failover_seconds:
            yield "failover", times.failover_seconds
