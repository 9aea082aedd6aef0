"""What is noted of a round while it runs."""

import time
from dataclasses import dataclass, field

from orchestrator.draft_planner import NOTHING_WISHED, DraftWish
from orchestrator.finished_round import FinishedRound, RoundTimes
from orchestrator.generated_round import GeneratedRound
from orchestrator.recovery import Recovery
from orchestrator.round_trace import RoundTrace
from orchestrator.rounds import DraftSource, Proposal, Verdict
from orchestrator.session_draft import NoProposal
from orchestrator.session_record import CacheOwner


@dataclass
class RoundNotes:
    """Filled in by the round, in this order; times in seconds on the monotonic clock.

    Attributes:
        started_at: When it began.
        trace: Its spans; None where its trace is not recorded.
        wish: What it asks of its draft.
        asked_draft_at: When it began to wait for the draft model.
        outcome: What that gave; None where it was not asked.
        asked_target_at: When it began to wait for the verdict.
        judged_at: When that was there.
        committed_at: When its commit was on the way.
    """

    started_at: float
    trace: RoundTrace | None = None
    wish: DraftWish = NOTHING_WISHED
    asked_draft_at: float = 0.0
    outcome: Proposal | NoProposal | None = None
    asked_target_at: float = 0.0
    judged_at: float = 0.0
    committed_at: float = 0.0
    _num_failovers: dict[str, int] = field(default_factory=dict[str, int])
    _failover_seconds: float = 0.0

    @classmethod
    def begin(cls, trace: RoundTrace | None, recovery: Recovery) -> "RoundNotes":
        """Begin a round; what `recovery` grows by until `finish` is its own."""
        now = time.monotonic()
        seconds = recovery.detection_seconds + recovery.takeover_seconds
        return cls(
            now,
            trace,
            asked_draft_at=now,
            _num_failovers=dict(recovery.num_failovers),
            _failover_seconds=seconds,
        )

    @property
    def draft_seconds(self) -> float:
        """From the start of the round until the target was asked."""
        return self.asked_target_at - self.started_at

    @property
    def target_seconds(self) -> float:
        """Waited for the verdict."""
        return self.judged_at - self.asked_target_at

    def finish(
        self,
        epoch: int,
        proposal: Proposal | None,
        verdict: Verdict,
        generated: GeneratedRound,
        recovery: Recovery,
        target: CacheOwner,
        draft: CacheOwner | None,
    ) -> FinishedRound:
        """Return the round, which ends now."""
        drafted = self.outcome if isinstance(self.outcome, Proposal) else None
        return FinishedRound(
            number=generated.round,
            position=generated.position,
            epoch=epoch,
            times=RoundTimes(
                self.started_at,
                self.asked_draft_at,
                self.asked_target_at,
                self.judged_at,
                self.committed_at,
                time.monotonic(),
                self._seconds_of_failovers(recovery),
            ),
            drafter=proposal.drafter if proposal is not None else DraftSource.NONE,
            num_wanted=self.wish.length.num_draft_tokens,
            num_drafted=generated.num_draft_ids,
            num_accepted=generated.num_accepted,
            num_tokens=len(generated.ids),
            own_origin=generated.origin(generated.num_accepted),
            num_ahead=drafted.num_ahead_tokens if drafted is not None else 0,
            num_dropped=drafted.num_dropped_tokens if drafted is not None else 0,
            ahead_outcome=drafted.ahead_outcome if drafted is not None else "",
            degraded_reason=self.outcome.reason if isinstance(self.outcome, NoProposal) else "",
            draft_timing=drafted.timing if drafted is not None else None,
            target_timing=verdict.timing,
            failovers=self._failovers(recovery),
            target_replica_id=target.replica_id,
            draft_replica_id=draft.replica_id if draft is not None and self.outcome is not None else "",
        )

    def _seconds_of_failovers(self, recovery: Recovery) -> float:
        lost = recovery.detection_seconds + recovery.takeover_seconds - self._failover_seconds
        return min(max(0.0, lost), self.target_seconds)

    def _failovers(self, recovery: Recovery) -> tuple[str, ...]:
        if recovery.num_failovers == self._num_failovers:
            return ()
        return tuple(
            reason
            for reason, num in recovery.num_failovers.items()
            for _ in range(num - self._num_failovers.get(reason, 0))
        )
