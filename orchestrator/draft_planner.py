"""Chooses the draft length of each round of one session."""

from orchestrator.draft_length import DraftLength, RoundOutlook, best_draft_length, fixed_draft_length
from orchestrator.generation_task import SpeculationPlan
from orchestrator.round_history import RoundHistory

# While speculation does not pay, a round with one draft token is tried after so many without, then after twice as many,
# so that a change of the text is noticed at little cost.
FIRST_PAUSE_ROUNDS = 32
LONGEST_PAUSE_ROUNDS = 256


class DraftPlanner:
    """Keeps the session's history and asks the policies; fixed plans ignore it."""

    def __init__(self, plan: SpeculationPlan, max_ahead_tokens: int) -> None:
        self._plan = plan
        self._max_ahead_tokens = max_ahead_tokens
        self._history = RoundHistory()
        self._present = min(plan.num_draft_tokens, 4) if plan.is_adaptive else plan.num_draft_tokens
        self._pause_rounds = FIRST_PAUSE_ROUNDS

    def next_length(self, round_: int, num_remaining: int) -> DraftLength:
        """Return what a round asks of the drafter."""
        if self._plan.is_adaptive and round_ > 1:
            self._present = self._best()
        outlook = RoundOutlook(round_, self._present, num_remaining, self._max_ahead_tokens)
        return fixed_draft_length(outlook)

    def note(self, num_drafted: int, num_accepted: int, seconds: float) -> None:
        """Take in a round that decoded; round 0, which fills caches, says nothing about the others."""
        self._history.note(num_drafted, num_accepted, seconds)

    def _best(self) -> int:
        forecast = self._history.forecast(self._plan.num_draft_tokens)
        if forecast is None:
            return self._present
        best = best_draft_length(forecast, self._present)
        if best > 0:
            self._pause_rounds = FIRST_PAUSE_ROUNDS
        elif self._history.num_rounds_without_draft >= self._pause_rounds:
            self._pause_rounds = min(2 * self._pause_rounds, LONGEST_PAUSE_ROUNDS)
            return min(1, self._plan.num_draft_tokens)
        return best
