"""What a round came to, as the choice of draft lengths sees it."""

from typing import NamedTuple

from orchestrator.rounds import Proposal, RoundTiming

# A wait below this share of the verdict's is none.
_LEAST_WAIT = 0.1


class RoundReport(NamedTuple):
    """A round that decoded.

    Attributes:
        num_wanted: Draft tokens that were asked for.
        num_drafted: Those that the target judged.
        num_accepted: Those that it accepted.
        proposal: Where they came from; None where there were none.
        draft_seconds: Waited for the proposal.
        target_seconds: Waited for the verdict.
        target_timing: Where its time went.
    """

    num_wanted: int
    num_drafted: int
    num_accepted: int
    proposal: Proposal | None
    draft_seconds: float
    target_seconds: float
    target_timing: RoundTiming

    @property
    def waited_for_draft(self) -> bool:
        """Whether a proposal was waited for, beyond what asking takes."""
        return self.draft_seconds > _LEAST_WAIT * self.target_seconds
