"""What the sampling core must compute, in the plainest way: all of the vocabulary, in float64, fully sorted."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from paceline.sampling.parameters import SamplingParameters

Logits = npt.NDArray[np.float32]  # [vocab_size]
Floats = npt.NDArray[np.float64]


def exact_log_weights(parameters: SamplingParameters, logits: Logits, context: Sequence[int] = ()) -> Floats:
    """Logarithms of the probabilities that an id behind some context has [vocab_size]; -inf is never chosen."""
    scores = _penalised(parameters, logits, context).astype(np.float64)
    scores = (scores - scores.max()) / parameters.temperature
    order = np.argsort(-scores, kind="stable")
    if parameters.top_k is not None:
        scores[order[parameters.top_k :]] = -np.inf
    if parameters.top_p < 1:
        weights = np.exp(scores)
        before = np.cumsum(weights[order]) - weights[order]
        scores[order[before >= parameters.top_p * weights.sum()]] = -np.inf
    if parameters.min_p:
        scores[scores < math.log(parameters.min_p)] = -np.inf
    return scores - math.log(np.exp(scores).sum())


def exact_probs(parameters: SamplingParameters, logits: Logits, context: Sequence[int] = ()) -> Floats:
    return np.exp(exact_log_weights(parameters, logits, context))


def exact_choice(
    parameters: SamplingParameters, logits: Logits, position: int, context: Sequence[int] = ()
) -> int:
    """The id that shared noise gives."""
    generator = np.random.Philox(
        counter=np.array([0, position, 0, 0], np.uint64), key=np.array([parameters.seed, 0], np.uint64)
    )
    words = generator.random_raw(len(logits) // 2 + 1).view(np.uint32)[: len(logits)]
    gumbels = -np.log(-np.log((words + 0.5) / 2**32))
    return int((exact_log_weights(parameters, logits, context) + gumbels).argmax())


def _penalised(parameters: SamplingParameters, logits: Logits, context: Sequence[int]) -> Logits:
    scores = logits.copy()
    for token_id, bias in parameters.logit_bias:
        scores[token_id] += np.float32(bias)
    for token_id in set(context):
        score, penalty = scores[token_id], np.float32(parameters.repetition_penalty)
        scores[token_id] = score * penalty if score < 0 else score / penalty
    output = context[parameters.num_prompt_tokens :]
    for token_id in set(output):
        scores[token_id] -= np.float32(
            parameters.frequency_penalty * output.count(token_id) + parameters.presence_penalty
        )
    if len(context) - parameters.num_prompt_tokens < parameters.min_tokens:
        scores[list(parameters.end_ids)] = -np.inf
    return scores
