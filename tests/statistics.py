"""Whether draws come from a distribution: chi-square, and total variation with its own noise."""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]  # [num_outcomes]
Probs = npt.NDArray[np.float64]  # [num_outcomes]

# Cells with fewer expected draws are put together: the approximation by chi-square is poor for them.
LEAST_EXPECTED = 5.0


class Fit(NamedTuple):
    """How well draws fit a distribution."""

    num_draws: int
    p_value: float  # of the chi-square test
    total_variation: float
    noise: float  # total variation that so many draws of the distribution itself have on average
    limit: float  # total variation that they exceed once in a million times at most

    @property
    def is_good(self) -> bool:
        """Whether the draws may well come from the distribution: a true one fails once in 10,000 times."""
        return self.p_value > 1e-4 and self.total_variation < self.limit


def fit(counts: Counts, probs: Probs) -> Fit:
    """Compare how often each outcome was drawn with the probabilities that it should have."""
    num_draws = int(counts.sum())
    total_variation = float(abs(counts / num_draws - probs).sum() / 2)
    noise = expected_total_variation(probs, num_draws)
    # One draw changes the total variation by at most 1 / num_draws (McDiarmid's inequality).
    limit = noise + math.sqrt(math.log(1e6) / (2 * num_draws))
    return Fit(num_draws, chi_square_p_value(counts, probs), total_variation, noise, limit)


def expected_total_variation(probs: Probs, num_draws: int) -> float:
    """Return the mean total variation between a distribution and the frequencies of so many draws of it.

    The normal approximation: a frequency deviates by sqrt(2 p (1 - p) / (pi n)) on average.
    """
    return float(np.sqrt(2 * probs * (1 - probs) / (math.pi * num_draws)).sum() / 2)


def chi_square_p_value(counts: Counts, probs: Probs) -> float:
    """Return how likely draws of the distribution deviate at least as much; 0 where the impossible was drawn."""
    if counts[probs <= 0].any():
        return 0.0
    expected = probs * counts.sum()
    is_rare = expected < LEAST_EXPECTED
    observed = np.append(counts[~is_rare], counts[is_rare].sum())
    wanted = np.append(expected[~is_rare], expected[is_rare].sum())
    if wanted[-1] < LEAST_EXPECTED:  # too few even together: they join the rarest of the others
        rarest = int(wanted[:-1].argmin())
        observed[rarest] += observed[-1]
        wanted[rarest] += wanted[-1]
        observed, wanted = observed[:-1], wanted[:-1]
    statistic = float(((observed - wanted) ** 2 / wanted).sum())
    return chi_square_tail(statistic, len(wanted) - 1)


def chi_square_tail(statistic: float, num_degrees: int) -> float:
    """Return the probability that chi-square with so many degrees of freedom is above a value."""
    if num_degrees == 0:
        return 1.0
    return upper_gamma(num_degrees / 2, statistic / 2)


def upper_gamma(a: float, x: float) -> float:
    """Return the regularised upper incomplete gamma function Q(a, x): a series below a + 1, a fraction above."""
    if x <= 0:
        return 1.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        n = a
        while term > total * 1e-16:
            n += 1
            term *= x / n
            total += term
        return 1 - scale * total
    # Lentz's evaluation of 1 / (x + 1 - a - 1 (1 - a) / (x + 3 - a - 2 (2 - a) / (x + 5 - a - ...)))
    b = x + 1 - a
    c, d = math.inf, 1 / b
    result = d
    for i in range(1, 10_000):
        factor = -i * (i - a)
        b += 2
        d = 1 / (factor * d + b)
        c = b + factor / c
        result *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return scale * result
