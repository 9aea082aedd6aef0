"""The log-probabilities of one chosen token, apart from what computes them: clients need no numpy."""

from typing import NamedTuple


class TokenLogprobs(NamedTuple):
    """How likely the model itself found a chosen id, and its most likely alternatives."""

    token_id: int
    logprob: float
    top_ids: tuple[int, ...]  # [num_logprobs], the most likely first, the lowest id of equals
    top_logprobs: tuple[float, ...]  # [num_logprobs]
