"""What one session's rounds have shown of its text, on top of what the pair of replicas has shown before."""

from orchestrator.acceptance import AcceptanceHistory
from orchestrator.moving_mean import MovingMean
from orchestrator.pair_record import HitHistory, PairRecord
from orchestrator.round_report import RoundReport
from orchestrator.rounds import RoundTiming

_MEMORY_ROUNDS = 8.0
_FARTHEST_OFFSET = 16.0


class RoundHistory:
    """Acceptance, hits, and how many more rows other sessions have in a pass than this one.

    Attributes:
        pair: What is shared.
        can_go_ahead: Whether the draft may draft ahead at all.
        acceptance: Of this session, beginning with that of the pair.
        hits: The same.
    """

    def __init__(self, pair: PairRecord, max_draft_tokens: int, *, can_go_ahead: bool) -> None:
        self.can_go_ahead = can_go_ahead
        self.pair = pair
        self.acceptance = AcceptanceHistory(pair.acceptance.estimates(max_draft_tokens))
        self.hits = HitHistory(pair.hits)
        self._others = MovingMean(0.0, 1.0, _MEMORY_ROUNDS)
        self._was_all_accepted = True

    @property
    def num_more_rows_of_others(self) -> float:
        """Rows that each other session of the same pass has on average more than this one; negative for fewer."""
        return self._others.value

    def note(self, report: RoundReport, *, was_ahead: bool) -> None:
        """Take in a round; `was_ahead` says whether the draft had been allowed to go on to its proposal before."""
        drafted, accepted = report.num_drafted, report.num_accepted
        if drafted and report.proposal is not None:
            for acceptance in (self.acceptance, self.pair.acceptance):
                acceptance.note(drafted, accepted)
        # A draft that had gone on as the target did would have answered at once: waiting in vain is a miss, too.
        is_late_miss = report.proposal is None and report.num_wanted > 0 and report.waited_for_draft
        if was_ahead and ((drafted and report.proposal is not None) or is_late_miss):
            for hits in (self.hits, self.pair.hits):
                hits.note(
                    report.num_wanted,
                    report.proposal.num_ahead_tokens if report.proposal is not None else 0,
                    is_after_accepted=self._was_all_accepted,
                )
        self._was_all_accepted = drafted == accepted
        self._note_others(drafted + 1, report.target_timing)

    def _note_others(self, num_rows: int, timing: RoundTiming) -> None:
        if timing.num_steps != 1 or not timing.batch_sessions:
            return
        num_others = timing.batch_sessions - 1
        offset = (timing.batch_rows - num_rows) / num_others - num_rows if num_others else 0.0
        self._others.add(min(max(offset, -_FARTHEST_OFFSET), _FARTHEST_OFFSET))
