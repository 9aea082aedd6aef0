"""Gumbel-max: the token whose log-weight plus noise is highest is a sample of the distribution.

A score is a function of (log-weight, word) alone, and only those that may be the highest are computed: noise has 32
bits, so that it is never below MIN_GUMBEL or above MAX_GUMBEL, and a token whose log-weight is low can win with a very
high word only, which an integer comparison finds.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from paceline.sampling.candidates import Candidates, Floats, Indices
from paceline.sampling.noise import MAX_GUMBEL, MIN_GUMBEL, RowNoise, Words, gumbel, gumbels, least_word

# Tokens within this of the highest log-weight are looked at first; then about one in 3000 of the others has a word
# that is high enough.
_HEAD_GAP = 8.0
_NUM_PROBED = 1024
# Arrays of different lengths may be computed by different instructions, with other last bits.
_ROUNDING = 1e-9


class Scored(NamedTuple):
    """A token and its log-weight plus noise."""

    score: float
    token_id: int


def choose(candidates: Candidates, noise: RowNoise) -> Scored | None:
    """Return the candidate with the highest score, None where there is no candidate."""
    top = candidates.top
    if top == -np.inf:
        return None
    may_win = candidates.may_reach(top + MIN_GUMBEL - MAX_GUMBEL)
    if np.count_nonzero(may_win) <= noise.num_cheap:
        possible = np.flatnonzero(may_win)
        token_ids = candidates.ids_at(possible)
        return winner(token_ids, candidates.log_weights_at(possible), noise.words_of(token_ids))
    words = noise.words if candidates.token_ids is None else noise.words[candidates.token_ids]
    leader = _winner_of_head(candidates, candidates.at_least(top - _HEAD_GAP), words)
    others = np.flatnonzero(words >= least_word(leader.score - (top - _HEAD_GAP)))
    return better(leader, _winner_at(candidates, others, words)) if len(others) else leader


def winner(token_ids: npt.NDArray[np.int64], log_weights: Floats, words: Words) -> Scored:
    """Return the highest score among some tokens, at least one; of equal ones that of the lowest id."""
    scores = log_weights + gumbels(words)
    # Up to rounding there is one winner; the mathematical library tells it from its equals.
    close = np.flatnonzero(scores >= scores.max() - _ROUNDING)
    return max(
        (Scored(float(log_weights[one]) + gumbel(int(words[one])), int(token_ids[one])) for one in close),
        key=_precedence,
    )


def better(one: Scored, other: Scored) -> Scored:
    """Return the higher score; of equal ones that of the lowest id."""
    return max(one, other, key=_precedence)


def _precedence(scored: Scored) -> tuple[float, int]:
    return scored.score, -scored.token_id


def _winner_of_head(candidates: Candidates, head: Indices, words: Words) -> Scored:
    """Return the highest score among the likeliest candidates, which are many where a distribution is flat."""
    leader = _winner_at(candidates, head[:_NUM_PROBED], words)
    rest = head[_NUM_PROBED:]
    rest = rest[words[rest] >= least_word(leader.score - candidates.top)]
    return better(leader, _winner_at(candidates, rest, words)) if len(rest) else leader


def _winner_at(candidates: Candidates, indices: Indices, words: Words) -> Scored:
    return winner(candidates.ids_at(indices), candidates.log_weights_at(indices), words[indices])
