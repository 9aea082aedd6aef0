"""What one round added to a session."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.stopping import Finish
from paceline.client.generation import TokenOrigin


@dataclass(frozen=True, slots=True)
class GeneratedRound:
    """The ids that a round added.

    Attributes:
        round: Number of the round.
        position: Absolute position of the first id, the prompt counted.
        ids: What is kept of the verdict, at least one.
        num_draft_ids: Draft ids that the target verified.
        num_accepted: Draft ids that it accepted, whether or not all of them were kept.
        finish: Why nothing follows; None where something does.
    """

    round: int
    position: int
    ids: Sequence[int]
    num_draft_ids: int
    num_accepted: int
    finish: Finish | None

    def origin(self, place: int) -> TokenOrigin:
        """Return where `ids[place]` came from."""
        if place < self.num_accepted:
            return TokenOrigin.ACCEPTED
        if self.num_draft_ids == 0 or place > self.num_accepted:
            return TokenOrigin.TARGET
        return TokenOrigin.BONUS if self.num_accepted == self.num_draft_ids else TokenOrigin.RECOVERED
