"""A model without weights: which id follows is a hash of the id before it and of its position.

So the text of a session depends on its prompt alone, and whether the draft agrees with the target at a place depends on
that place alone: not on the draft length, the batch or the run.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]

# The printable ASCII characters, as ids of the byte tokenizer: every text is valid and each id one character.
FIRST_ID = 32
NUM_IDS = 95
# splitmix64's, so that neighbouring inputs have unrelated hashes.
_GAMMA, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


@dataclass(frozen=True)
class ChainModel:
    """Chooses what follows; models with the same `seed` and acceptance 1 agree everywhere.

    Attributes:
        seed: Names the text.
        acceptance: Probability that the choice is the one of the model with acceptance 1.
        second_chance: Probability that the second choice is, where the first is not.
    """

    seed: int = 0
    acceptance: float = 1.0
    second_chance: float = 0.0

    def next_ids(self, ids: Ids, positions: Ids) -> Ids:
        """Return the ids [num_rows] that follow `ids` [num_rows], which stand at `positions` [num_rows]."""
        return self._shifted(ids, positions, self._is_wrong(ids, positions).astype(np.int64))

    def second_ids(self, ids: Ids, positions: Ids) -> Ids:
        """Return what comes second [num_rows], of the same rows."""
        is_found = self._dice(ids, positions, 2) < self.second_chance
        is_right = self._is_wrong(ids, positions) & is_found
        return self._shifted(ids, positions, np.where(is_right, 0, 2))

    def _is_wrong(self, ids: Ids, positions: Ids) -> npt.NDArray[np.bool_]:
        return self._dice(ids, positions, 1) >= self.acceptance

    def _shifted(self, ids: Ids, positions: Ids, num_wrong: Ids) -> Ids:
        """Return the right ids, or those that stand so many places behind them."""
        # The same step for all ids of a position, so that texts that differ once differ for good.
        steps = self._hash(positions, 0) % np.uint64(NUM_IDS)
        return FIRST_ID + (ids - FIRST_ID + steps.astype(np.int64) + num_wrong) % NUM_IDS

    def _dice(self, ids: Ids, positions: Ids, stream: int) -> npt.NDArray[np.float64]:
        return self._hash(positions * NUM_IDS + ids % NUM_IDS, stream).astype(np.float64) / 2.0**64

    def _hash(self, values: Ids, stream: int) -> npt.NDArray[np.uint64]:
        start = (3 * self.seed + stream) * _GAMMA % 2**64
        mixed = values.astype(np.uint64) * np.uint64(_GAMMA) + np.uint64(start)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(_MIX_1)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(_MIX_2)
        return mixed ^ (mixed >> np.uint64(31))


def prompt_ids(session: int, turn: int, num_tokens: int) -> tuple[int, ...]:
    """Return a prompt [num_tokens] that no other session and turn has."""
    generator = np.random.default_rng((session, turn))
    return tuple((FIRST_ID + generator.integers(NUM_IDS, size=num_tokens)).tolist())
