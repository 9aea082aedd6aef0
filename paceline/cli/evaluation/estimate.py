"""Medians with confidence intervals."""

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from paceline.cli.evaluation.findings import Estimate

K = TypeVar("K", bound=Hashable)

NUM_RESAMPLES = 2000
# Of the 95 % in the middle.
_LOW, _HIGH = 2.5, 97.5
_VALUES_AT_ONCE = 1_000_000


def estimate_of(values: Sequence[float], seed: int = 0) -> Estimate:
    """Return the median of at least one measurement and its 95 % confidence interval.

    The interval is the percentile bootstrap's: medians of as many values, drawn from these with replacement (Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). The same values and seed give the same interval.
    Example: 1.0, 1.1 and 1.2 give 1.1, from 1.0 to 1.2.
    """
    assert values, "there is something to estimate"
    measured = np.asarray(values, np.float64)
    generator = np.random.default_rng(seed)
    rows_at_once = max(1, _VALUES_AT_ONCE // measured.size)
    medians = np.concatenate(
        [
            np.median(
                generator.choice(measured, (min(rows_at_once, NUM_RESAMPLES - start), measured.size)), axis=1
            )
            for start in range(0, NUM_RESAMPLES, rows_at_once)
        ]
    )
    low, high = np.percentile(medians, (_LOW, _HIGH))
    return Estimate(float(np.median(measured)), float(low), float(high), int(measured.size))


def paired_ratios(values: Mapping[K, float], base: Mapping[K, float]) -> list[float]:
    """Return each value over what was measured beside it, which has the same key; what has no partner is left out.

    What a machine does for a while falls on both of a pair, and the ratio is free of it.
    """
    return [value / base[key] for key, value in values.items() if key in base]
