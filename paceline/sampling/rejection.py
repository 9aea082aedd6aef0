"""Accept-reject sampling: the target's distribution whatever the draft is, from the draft's own probabilities.

Leviathan et al., "Fast inference from transformers via speculative decoding" (arXiv 2211.17192), and Chen et al.,
"Accelerating large language model decoding with speculative sampling" (arXiv 2302.01318). A draft token is accepted
with probability min(1, target / draft); otherwise the residual max(target - draft, 0), normalised, is sampled.
Decisions of the draft and the target use streams of noise of their own, so that they are independent.
"""

from collections.abc import Sequence

import numpy as np

from paceline.sampling.candidates import Candidates
from paceline.sampling.choice import Scored, better, choose, winner
from paceline.sampling.draft_distribution import DraftDistribution, quantise
from paceline.sampling.noise import Noise, RowNoise, Stream
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.processing import MaskRows
from paceline.sampling.selector import RowSelector


class DraftSelector(RowSelector):
    """Chooses draft ids from quantised distributions, and keeps these.

    Where the temperature is 0 the ids are greedy, and there are no distributions to keep.

    Attributes:
        distributions: What each id chosen so far was sampled from, in the order of the rows.
    """

    _draws_plainly = False

    def __init__(self, parameters: SamplingParameters, mask: MaskRows | None = None) -> None:
        super().__init__(parameters, mask)
        self.distributions: list[DraftDistribution] = []
        self._draft_noise = Noise(parameters.seed, Stream.DRAFT)

    def _choose_from(self, candidates: Candidates, position: int, vocabulary_size: int) -> int:
        distribution = quantise(candidates)
        self.distributions.append(distribution)
        return distribution.sample(self._draft_noise.uniform(position))


class RejectionSelector(RowSelector):
    """Chooses what the target emits at each row of a round: the draft id where that is accepted.

    Row i judges draft id i, and the rows after the last draft id sample the target's distribution. A replacement is
    never the draft id itself, so that "chosen equals drafted" means "accepted". Rows after the first rejection
    continue a context that was not emitted and mean nothing. Where the temperature is 0 all is greedy.
    """

    _draws_plainly = False

    def __init__(
        self,
        parameters: SamplingParameters,
        draft_ids: Sequence[int],
        distributions: Sequence[DraftDistribution | None],
        mask: MaskRows | None = None,
    ) -> None:
        """Take the draft ids and what they were sampled from; None is a draft that was certain, as prompt lookup is."""
        assert len(draft_ids) == len(distributions)
        super().__init__(parameters, mask)
        self._drafts = [
            (draft_id, distribution or DraftDistribution.point(draft_id))
            for draft_id, distribution in zip(draft_ids, distributions, strict=True)
        ]
        self._num_judged = 0
        self._accept_noise = Noise(parameters.seed, Stream.ACCEPT)
        self._residual_noise = Noise(parameters.seed, Stream.RESIDUAL)

    def _choose_from(self, candidates: Candidates, position: int, vocabulary_size: int) -> int:
        if self._num_judged == len(self._drafts):
            return super()._choose_from(candidates, position, vocabulary_size)
        draft_id, distribution = self._drafts[self._num_judged]
        self._num_judged += 1
        if accepts(candidates, distribution, draft_id, self._accept_noise.uniform(position)):
            return draft_id
        replacement = choose_residual(
            candidates, distribution, self._residual_noise.at(position, vocabulary_size)
        )
        # Target and draft then agree up to rounding, and there is nothing to replace.
        return draft_id if replacement is None else replacement.token_id


def accepts(candidates: Candidates, distribution: DraftDistribution, draft_id: int, uniform: float) -> bool:
    """Return whether a draft id is accepted: with probability min(1, target / draft)."""
    [target_prob] = candidates.probs_of(np.array([draft_id], np.int64)).tolist()
    return uniform * distribution.prob_of(draft_id) < target_prob


def choose_residual(
    candidates: Candidates, distribution: DraftDistribution, noise: RowNoise
) -> Scored | None:
    """Return a sample of max(target - draft, 0), normalised; None where the draft covers the target everywhere.

    A rejected id has target < draft in the very same numbers, so that it is never returned.
    """
    draft_ids = distribution.ids.astype(np.int64)
    residuals = candidates.probs_of(draft_ids) - distribution.probs
    undrafted = choose(candidates.without(draft_ids), noise)
    is_left = residuals > 0
    if not is_left.any():
        return undrafted
    left_ids = draft_ids[is_left]
    log_weights = np.log(residuals[is_left] * candidates.total)
    drafted = winner(left_ids, log_weights, noise.words_of(left_ids))
    return drafted if undrafted is None else better(drafted, undrafted)
