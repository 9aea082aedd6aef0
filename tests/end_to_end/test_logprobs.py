"""Log-probabilities through real processes are those of the target's own logits, for drafted tokens too."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from paceline.client.generation import (
    GenerationRequest,
    PromptIds,
    Sampling,
    Speculation,
    SpeculationMode,
    TokenOrigin,
)
from paceline.client.orchestrator import connect
from paceline.sampling.parameters import Verification
from tests.end_to_end.cluster_process import RunningCluster, running_cluster
from tests.end_to_end.tiny_cluster import Contexts

PROMPT = tuple(b"to be or not to be")


@pytest.fixture(scope="module")
def cluster(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    flags = ("--target", str(models["target"]), "--draft", str(models["good"]))
    with running_cluster(tmp_path_factory.mktemp("up"), *flags) as cluster:
        yield cluster


@pytest.mark.parametrize("verification", Verification)
@pytest.mark.parametrize("temperature", [0.0, 0.8])
async def test_every_token_has_the_log_probability_that_the_model_gave_it(
    cluster: RunningCluster, contexts: Contexts, verification: Verification, temperature: float
) -> None:
    request = GenerationRequest(
        PromptIds(PROMPT),
        max_tokens=30,
        ignore_eos=True,
        echo=True,
        speculation=Speculation(SpeculationMode.FIXED, 4),
        sampling=Sampling(
            temperature,
            seed=3,
            top_p=0.9,
            repetition_penalty=1.3,
            num_logprobs=4,
            verification=verification,
        ),
    )
    async with connect(cluster.address) as orchestrator:
        completion = await orchestrator.complete(request)
        plain = await orchestrator.complete(
            GenerationRequest(PromptIds(PROMPT), max_tokens=3, sampling=Sampling(temperature))
        )
    ids = [token.id for token in completion.tokens]
    assert tuple(ids[: len(PROMPT)]) == PROMPT
    assert {TokenOrigin.PROMPT, TokenOrigin.ACCEPTED} <= {token.origin for token in completion.tokens}
    assert completion.tokens[0].logprob is None
    for place, token in enumerate(completion.tokens[1:], start=1):
        logits = contexts.logits(ids[:place]).astype(np.float64)
        logprobs = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        best = np.argsort(-logprobs, kind="stable")[:4]
        assert token.logprob == pytest.approx(logprobs[token.id], abs=1e-6)
        assert [one.id for one in token.alternatives] == best.tolist()
        assert [one.logprob for one in token.alternatives] == pytest.approx(logprobs[best].tolist(), abs=1e-6)
    assert all(token.logprob is None and not token.alternatives for token in plain.tokens)
