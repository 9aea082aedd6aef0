"""How a draft chooses: with the target's noise, or with noise of its own from distributions that it keeps."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from paceline.engine.work import Logits, TokenIds
from paceline.sampling.outlook import NoteOutlook, OutlookSelector
from paceline.sampling.parameters import SamplingParameters, Verification
from paceline.sampling.processing import MaskRows
from paceline.sampling.rejection import DraftSelector
from paceline.sampling.selector import RowSelector, selector_for

# Encoded distributions by the absolute position of the id that was drawn from each.
Distributions = dict[int, bytes]


def forget_before(position: int, recorded: dict[int, Any]) -> None:
    """Forget what was written down of the rows before a position."""
    for place in list(recorded):  # a work may be adding to it
        if place < position:
            del recorded[place]


class RecordingSelector(DraftSelector):
    """Writes down what each id was drawn from; drawing a position again overwrites it."""

    def __init__(
        self, parameters: SamplingParameters, mask: MaskRows | None, recorded: Distributions
    ) -> None:
        super().__init__(parameters, mask)
        self._recorded = recorded

    def __call__(self, logits: Logits, positions: TokenIds, token_ids: Sequence[int]) -> TokenIds:
        """Return the chosen ids [num_rows]."""
        num_before = len(self.distributions)
        chosen_ids = super().__call__(logits, positions, token_ids)
        for position, distribution in zip(positions.tolist(), self.distributions[num_before:], strict=True):
            self._recorded[position] = distribution.encode()
        return chosen_ids


def has_distributions(sampling: SamplingParameters) -> bool:
    """Whether the target is to be told what ids were drawn from; greedy ids are certain."""
    return sampling.verification is Verification.REJECTION and sampling.temperature > 0


def can_guess(sampling: SamplingParameters) -> bool:
    """Whether the draft can tell which id the target puts in a refused one's place.

    With rejection that is drawn by noise of its own, and a structure's masks are for one line of text at a time.
    """
    return not has_distributions(sampling) and sampling.structure is None


def drafting_selector(
    sampling: SamplingParameters, mask: MaskRows | None, recorded: Distributions, note: NoteOutlook | None
) -> RowSelector:
    """Return what chooses the ids of one work of the draft; outlooks are noted where `note` is given."""
    silent = replace(sampling, num_logprobs=None)  # nobody asks what the draft thinks
    if has_distributions(sampling):
        return RecordingSelector(silent, mask, recorded)
    return selector_for(silent, mask) if note is None else OutlookSelector(silent, mask, note)
