"""The same logits give the same tokens and probabilities as transformers' own processors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from paceline.sampling.candidates import Candidates
from paceline.sampling.logprobs import token_logprobs
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.processing import LogitsProcessor
from paceline.sampling.truncation import truncate
from tests.paceline.sampling.rows import Rows, rows_of

pytestmark = pytest.mark.reference

VOCABULARY_SIZE = 5000
PROMPT = np.random.default_rng(0).integers(0, VOCABULARY_SIZE, 60).tolist()
OUTPUT = np.random.default_rng(1).integers(0, VOCABULARY_SIZE, 40).tolist()

SETTINGS = [
    SamplingParameters(1.0),
    SamplingParameters(0.7, top_p=0.9),
    SamplingParameters(1.0, top_k=40),
    SamplingParameters(1.0, min_p=0.05),
    SamplingParameters(0.8, top_k=50, top_p=0.95, min_p=0.02),
    SamplingParameters(1.5, repetition_penalty=1.3, top_p=0.8),
    SamplingParameters(1.0, logit_bias=((7, 5.0), (11, -3.0)), repetition_penalty=0.8),
    SamplingParameters(1.0, min_tokens=50, end_ids=(2, 3), num_prompt_tokens=60),
    SamplingParameters(1.0, min_tokens=40, end_ids=(2, 3), num_prompt_tokens=60),
]


def processors(parameters: SamplingParameters) -> list[Any]:
    """What `generate` of transformers would set up, in its order."""
    from transformers.generation import logits_process as theirs  # noqa: PLC0415 - an optional package

    chosen: list[Any] = []
    if parameters.logit_bias:
        biases: Any = [[[token_id], bias] for token_id, bias in parameters.logit_bias]
        chosen.append(theirs.SequenceBiasLogitsProcessor(biases))
    if parameters.repetition_penalty != 1:
        chosen.append(theirs.RepetitionPenaltyLogitsProcessor(parameters.repetition_penalty))
    if parameters.min_tokens:
        chosen.append(
            theirs.MinNewTokensLengthLogitsProcessor(
                parameters.num_prompt_tokens, parameters.min_tokens, list(parameters.end_ids), device="cpu"
            )
        )
    chosen.append(theirs.TemperatureLogitsWarper(parameters.temperature))
    if parameters.top_k is not None:
        chosen.append(theirs.TopKLogitsWarper(parameters.top_k))
    if parameters.top_p < 1:
        chosen.append(theirs.TopPLogitsWarper(parameters.top_p))
    if parameters.min_p:
        chosen.append(theirs.MinPLogitsWarper(parameters.min_p))
    return chosen


def their_probs(parameters: SamplingParameters, rows: Rows, context: Sequence[int]) -> Any:
    import torch  # noqa: PLC0415 - an optional package

    scores = torch.from_numpy(rows.copy())
    ids = torch.tensor([list(context)] * len(rows))
    for process in processors(parameters):
        scores = process(ids, scores)
    return torch.softmax(scores.double(), dim=-1).numpy()


@pytest.mark.parametrize("shape", ["model", "peaked", "wide"])
@pytest.mark.parametrize("parameters", SETTINGS)
def test_probabilities_are_theirs(parameters: SamplingParameters, shape: str) -> None:
    rows, context = rows_of(shape, 20, VOCABULARY_SIZE), PROMPT + OUTPUT
    expected = their_probs(parameters, rows, context)
    for row, probs in zip(rows, expected, strict=True):
        processed = LogitsProcessor(parameters).process(row, len(context), context)
        ours = truncate(Candidates.of_row(processed, parameters.temperature), parameters)
        assert ours.ids.tolist() == np.flatnonzero(probs > 0).tolist()
        assert abs(ours.probs - probs[ours.ids]).max() < 1e-5


def test_the_one_difference_is_a_tie_at_the_border_of_top_k() -> None:
    row = np.array([[1, 3, 2, 2]], np.float32)
    parameters = SamplingParameters(1.0, top_k=2)
    assert np.flatnonzero(their_probs(parameters, row, [0])[0]).tolist() == [1, 2, 3]
    assert truncate(Candidates.of_row(row[0], 1.0), parameters).ids.tolist() == [1, 2]


def test_logprobs_are_those_of_torch() -> None:
    import torch  # noqa: PLC0415 - an optional package

    for row in rows_of("model", 20, VOCABULARY_SIZE):
        expected = torch.log_softmax(torch.from_numpy(row).double(), dim=-1)
        top = expected.topk(20)
        found = token_logprobs(row, 17, 20)
        assert found.logprob == pytest.approx(expected[17].item(), abs=1e-9)
        assert found.top_ids == tuple(top.indices.tolist())
        assert found.top_logprobs == pytest.approx(tuple(top.values.tolist()), abs=1e-9)
