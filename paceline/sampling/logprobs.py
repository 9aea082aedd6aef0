"""Log-probabilities of chosen ids, from the model's own logits before any processing."""

import numpy as np
import numpy.typing as npt

from paceline.sampling.candidates import Candidates
from paceline.sampling.token_logprobs import TokenLogprobs
from paceline.sampling.truncation import most_likely


def token_logprobs(logits: npt.NDArray[np.float32], token_id: int, num_alternatives: int) -> TokenLogprobs:
    """Return the log-softmax of a row of raw logits [vocab_size] at an id and at the most likely ones, in float64.

    The chosen id is among the alternatives where it is one of the most likely.
    """
    candidates = Candidates.of_row(logits, temperature=1.0)
    top_ids = most_likely(logits, num_alternatives) if num_alternatives else np.empty(0, np.int64)
    wanted = np.concatenate((np.array([token_id], np.int64), top_ids))
    own, *tops = (candidates.log_weights_at(wanted) - np.log(candidates.total)).tolist()
    return TokenLogprobs(token_id, own, tuple(top_ids.tolist()), tuple(tops))
