"""What a round came to, as the choice of draft lengths sees it."""

from typing import NamedTuple

from orchestrator.rounds import Proposal, RoundTiming


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
