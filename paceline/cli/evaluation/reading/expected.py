"""The exact probability that a draft token is accepted, from both models' logits at one position."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from paceline.cli.evaluation.reading.kept_logits import Row
from paceline.engine.work import Logits, TokenIds
from paceline.sampling.acceptance import Probs, expected_acceptance_optimum, expected_acceptance_shared
from paceline.sampling.candidates import Candidates
from paceline.sampling.draft_distribution import DraftDistribution, quantise
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.selector import RowSelector
from paceline.sampling.truncation import truncate


class Expected(NamedTuple):
    """Probabilities of acceptance at one position, or their means over several."""

    shared: float  # with shared noise
    rejection: float  # by accept-reject, with the distribution that the draft ships
    optimum: float  # 1 - TV, the most that anything reaches


class Distributions(NamedTuple):
    """What both models say at one position, over all ids [vocab_size]."""

    target_probs: Probs
    draft_probs: Probs
    shipped: DraftDistribution  # the draft's, as it is sent for accept-reject

    @property
    def expected(self) -> Expected:
        """The probabilities of acceptance."""
        shipped_probs = _dense(self.shipped.ids, self.shipped.probs, len(self.target_probs))
        return Expected(
            expected_acceptance_shared(self.target_probs, self.draft_probs),
            expected_acceptance_optimum(self.target_probs, shipped_probs),
            expected_acceptance_optimum(self.target_probs, self.draft_probs),
        )


def distributions_at(parameters: SamplingParameters, target_logits: Row, draft_logits: Row) -> Distributions:
    """Return the distributions where the logits are these [vocab_size] and the temperature is above 0.

    One model's logits may be padded to more ids than the other's: what one does not have it never chooses.
    """
    vocabulary_size = max(len(target_logits), len(draft_logits))
    target, draft = (
        truncate(Candidates.of_row(row, parameters.temperature), parameters)
        for row in (target_logits, draft_logits)
    )
    return Distributions(
        _dense(target.ids, target.probs, vocabulary_size),
        _dense(draft.ids, draft.probs, vocabulary_size),
        quantise(draft),
    )


def mean_of(expected: Sequence[Expected]) -> Expected | None:
    """Return the means over positions; None where there are none."""
    return Expected(*np.mean(expected, axis=0).tolist()) if expected else None


class ExpectingSelector:
    """Chooses as another selector does, and computes what is to be expected at some positions.

    Attributes:
        expected: At the positions looked at so far, in their order.
    """

    def __init__(
        self, chooser: RowSelector, parameters: SamplingParameters, target_logits: Mapping[int, Row]
    ) -> None:
        """`target_logits` are the target's at the positions that are looked at."""
        self.expected: list[Expected] = []
        self._chooser = chooser
        self._parameters = parameters
        self._target_logits = target_logits

    def __call__(self, logits: Logits, positions: TokenIds, token_ids: Sequence[int]) -> TokenIds:
        """Return the chosen ids [num_rows]."""
        for row, position in zip(logits, positions.tolist(), strict=True):
            if position in self._target_logits:
                target_row = np.asarray(self._target_logits[position])
                self.expected.append(distributions_at(self._parameters, target_row, row).expected)
        return self._chooser(logits, positions, token_ids)


def _dense(ids: npt.NDArray[np.integer], probs: Probs, vocabulary_size: int) -> Probs:
    dense = np.zeros(vocabulary_size)
    dense[ids] = probs
    return dense
