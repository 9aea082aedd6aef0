"""A share of positions, and how sure it is."""

from collections.abc import Sequence

import numpy as np

from paceline.cli.evaluation.findings import Estimate

NUM_RESAMPLES = 2000
# Neighbouring positions of one text are alike; blocks of so many are less so.
BLOCK_POSITIONS = 16


def share_of(texts: Sequence[Sequence[bool]], seed: int = 0) -> Estimate:
    """Return the share of positions that are true, with its 95 % confidence interval by percentile bootstrap.

    Whole texts are drawn again, because positions of one text are not independent; of a single text, blocks of
    neighbouring positions. `count` is the number of texts or blocks. There is at least one position.
    """
    units = _units([text for text in texts if len(text)])
    num_true = np.array([sum(unit) for unit in units], np.float64)
    num_all = np.array([len(unit) for unit in units], np.float64)
    value = float(num_true.sum() / num_all.sum())
    if len(units) == 1:
        return Estimate(value, value, value, 1)
    drawn = np.random.default_rng(seed).integers(0, len(units), (NUM_RESAMPLES, len(units)))
    shares = num_true[drawn].sum(axis=1) / num_all[drawn].sum(axis=1)
    low, high = np.percentile(shares, (2.5, 97.5)).tolist()
    return Estimate(value, low, high, len(units))


def _units(texts: Sequence[Sequence[bool]]) -> Sequence[Sequence[bool]]:
    if len(texts) > 1:
        return texts
    [text] = texts
    return [text[start : start + BLOCK_POSITIONS] for start in range(0, len(text), BLOCK_POSITIONS)]
