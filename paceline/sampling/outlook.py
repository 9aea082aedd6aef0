"""How sure the draft was of an id, and what came next to it: where guesses of another outcome come from."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from paceline.engine.work import Logits, TokenIds
from paceline.sampling.candidates import Candidates
from paceline.sampling.choice import choose
from paceline.sampling.noise import RowNoise, gumbels
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.processing import MaskRows, Row
from paceline.sampling.selector import RowSelector

# Ids kept of a row: the chosen one and those that were next best.
NUM_KEPT = 4
# Ids whose logits are so much lower are never looked at: the target seldom disagrees that much.
_GAP = 8.0


class Outlook(NamedTuple):
    """The best ids of a row, the chosen one first, and the chances that each is the target's choice."""

    token_ids: tuple[int, ...]
    chances: tuple[float, ...]


# Takes the absolute position of the id that was chosen from a row, and the row's outlook.
NoteOutlook = Callable[[int, Outlook], None]


def outlook_of(token_ids: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> Outlook:
    """Return the outlook of the ids that the draft scored best; the target scores much the same ids, with some error.

    The error of a logit is taken to be about 1, so that the chances are the softmax of the scores, which are logits
    with the noise that draft and target share.
    Example: scores 5, 4 and 1 give the chances 0.72, 0.27 and 0.01.
    """
    chances = np.exp(scores - scores.max())
    chances /= chances.sum()
    best = np.argsort(-chances, kind="stable")[:NUM_KEPT]
    return Outlook(tuple(token_ids[best].tolist()), tuple(chances[best].tolist()))


class OutlookSelector(RowSelector):
    """Chooses as RowSelector does, and notes the outlook of each row by the position of the id that it chose."""

    def __init__(self, parameters: SamplingParameters, mask: MaskRows | None, note: NoteOutlook) -> None:
        super().__init__(parameters, mask)
        self._note = note

    def __call__(self, logits: Logits, positions: TokenIds, token_ids: Sequence[int]) -> TokenIds:
        """Return the chosen ids [num_rows]."""
        if not self.is_greedy_and_idle:
            return super().__call__(logits, positions, token_ids)
        chosen_ids = [
            self._choose_greedily(row, at) for row, at in zip(logits, positions.tolist(), strict=True)
        ]
        return np.array(chosen_ids, np.int64)

    def _choose_greedily(self, row: Row, position: int) -> int:
        chosen_id = int(row.argmax())
        near = np.flatnonzero(row >= row[chosen_id] - np.float32(_GAP))
        self._note(position, outlook_of(near, row[near].astype(np.float64)))
        return chosen_id

    def _choose_from(self, candidates: Candidates, position: int, vocabulary_size: int) -> int:
        noise = self._noise.at(position, vocabulary_size)
        chosen = choose(candidates, noise)
        assert chosen is not None, "a row has a highest logit"
        self._note(position, _noisy_outlook(candidates, noise))
        return chosen.token_id


def _noisy_outlook(candidates: Candidates, noise: RowNoise) -> Outlook:
    """Return the outlook of a row whose log-weights and noise make the choice.

    A score times the temperature is a logit again, in which draft and target differ alike at every temperature.
    """
    near = candidates.at_least(candidates.top - _GAP)
    token_ids = candidates.ids_at(near)
    scores = candidates.log_weights_at(near) + gumbels(noise.words_of(token_ids))
    return outlook_of(token_ids, scores * candidates.temperature)
