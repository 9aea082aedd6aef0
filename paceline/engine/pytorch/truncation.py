"""What `paceline.sampling.truncation` keeps, told on the device from the likeliest tokens of each row.

top_k and min_p are comparisons and told exactly. top_p depends on sums, which are added up in another order here than
on the host: where the sum is as close to what is wanted as the orders may differ, a token is perhaps kept.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from paceline.engine.pytorch.choice_columns import ChoiceColumns

# A sum of 2**18 numbers, one behind the other, errs by less than 2**18 * 2**-53 = 3e-11 of it, and so does the host's.
_MARGIN = 1e-9


class Ranked(NamedTuple):
    """The likeliest tokens of some rows, the likeliest first; of equal logits the lower id is the likelier one."""

    token_ids: Tensor  # [num_rows, num_ranked] int64
    logits: Tensor  # [num_rows, num_ranked] float32
    log_weights: Tensor  # [num_rows, num_ranked] float64
    totals: Tensor  # [num_rows, 1] float64: the sum of the weights of all tokens, ranked or not
    vocabulary_size: int


class Kept(NamedTuple):
    """Which of the ranked tokens may be chosen."""

    perhaps: Tensor  # [num_rows, num_ranked] bool: all that the host keeps, and hardly more
    surely: Tensor  # [num_rows, num_ranked] bool: only such as the host keeps, and hardly fewer
    is_complete: Tensor  # [num_rows] bool: no token that is not ranked is kept


def rank(logits: Tensor, log_weights: Tensor, num_ranked: int) -> Ranked:
    """Rank the tokens of rows of logits and log-weights [num_rows, vocab_size]; -inf comes last.

    The whole vocabulary is sorted only where as many are to be ranked.
    """
    vocabulary_size = logits.shape[1]
    keys = _keys(logits)
    if num_ranked < vocabulary_size:
        token_ids = keys.topk(num_ranked, dim=1).indices
    else:
        token_ids = keys.sort(dim=1, descending=True).indices
    return Ranked(
        token_ids,
        logits.gather(1, token_ids),
        log_weights.gather(1, token_ids),
        log_weights.exp().sum(dim=1, keepdim=True),
        vocabulary_size,
    )


def truncate(ranked: Ranked, columns: ChoiceColumns) -> Kept:
    """Return what top_k, then top_p and min_p keep.

    Example: of the weights 1/2, 1/4, 1/8, 1/16, 1/16 with top_p 0.8 the likelier ones have the sums 0, 1/2, 3/4, 7/8,
    15/16, and the first three are kept, whose likelier ones have less than 0.8.
    """
    log_weights = ranked.log_weights
    num_ranked = log_weights.shape[1]
    ranks = torch.arange(num_ranked, device=log_weights.device)
    is_highest = ranks < columns.top_k
    weights = torch.where(is_highest, log_weights.exp(), 0.0)
    sums = weights.cumsum(dim=1)
    is_cut = columns.top_k < ranked.vocabulary_size
    totals = torch.where(is_cut, sums[:, -1:], ranked.totals)
    has_nucleus = columns.top_p < 1.0
    wanted = torch.where(has_nucleus, columns.top_p * totals, torch.inf)
    of_likelier, margin = sums - weights, _MARGIN * totals
    is_allowed = is_highest & (log_weights >= columns.least_log_weights)
    perhaps = is_allowed & (of_likelier < wanted + margin)
    surely = (
        is_allowed & ((of_likelier < wanted - margin) | (ranks == 0)) & ~(has_nucleus & _is_blurred(ranked))
    )
    # Tokens of the last one's log-weight may go on behind it.
    is_open = (perhaps & (log_weights == log_weights[:, -1:])).any(dim=1, keepdim=True)
    is_complete = (columns.top_k <= num_ranked) | ~(is_cut | is_open)
    return Kept(perhaps, surely, is_complete.squeeze(1))


def _keys(logits: Tensor) -> Tensor:
    """Return integers [num_rows, vocab_size], no two equal in a row, that are ordered as `Ranked` is."""
    # Adding 0 makes -0 equal to 0. Of negative floats the one with the higher bits is the lower.
    bits = (logits + 0.0).view(torch.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    token_ids = torch.arange(logits.shape[1], device=logits.device)
    return ordered.to(torch.int64).mul_(1 << 32).sub_(token_ids)


def _is_blurred(ranked: Ranked) -> Tensor:
    """Return whether different logits have the same log-weight [num_rows, 1]: the host orders them by their ids.

    Logits must be as small as 1e-15 beside the highest for this.
    """
    log_weights, logits = ranked.log_weights, ranked.logits
    is_same = (log_weights[:, 1:] == log_weights[:, :-1]) & (logits[:, 1:] != logits[:, :-1])
    return (is_same & (log_weights[:, 1:] > -torch.inf)).any(dim=1, keepdim=True)
