"""The second half of the first promise: through real processes, the tokens come from the target's own distribution."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paceline.client.generation import (
    GenerationRequest,
    PromptIds,
    Sampling,
    Speculation,
    SpeculationMode,
)
from paceline.client.orchestrator import Orchestrator, connect
from paceline.sampling.parameters import SamplingParameters, Verification
from tests.end_to_end.cluster_process import RunningCluster, running_cluster
from tests.end_to_end.tiny_cluster import Contexts
from tests.orchestrator.byte_tokenizer import VOCABULARY_SIZE
from tests.paceline.sampling.reference import exact_probs
from tests.statistics import Fit, fit

PROMPT = tuple(b"to be or not")
TESTED_TOKENS = (1, 2, 5)
NUM_TOKENS = max(TESTED_TOKENS)
# Issue 3 names them.
SAMPLINGS = {
    "plain": Sampling(1.0),
    "top_p": Sampling(0.7, top_p=0.9),
    "top_k": Sampling(1.0, top_k=40),
    "min_p": Sampling(1.0, min_p=0.05),
    "penalties": Sampling(1.0, repetition_penalty=1.4, presence_penalty=0.5, frequency_penalty=0.3),
}
DRAFTS = ("good", "random", "adversarial")
NUM_AT_ONCE = 32


@pytest.fixture(scope="module", params=DRAFTS)
def cluster(
    models: dict[str, Path], request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningCluster]:
    target, draft = str(models["target"]), str(models[request.param])
    with running_cluster(tmp_path_factory.mktemp("up"), "--target", target, "--draft", draft) as cluster:
        yield cluster


async def draw(
    orchestrator: Orchestrator, sampling: Sampling, verification: Verification, num_draws: int
) -> list[tuple[int, ...]]:
    """Generate with the seeds 0, 1, 2, ...; drafts of two tokens, so that the fifth token is a later round's."""
    places = asyncio.Semaphore(NUM_AT_ONCE)

    async def one(seed: int) -> tuple[int, ...]:
        seeded = replace(sampling, seed=seed, verification=verification)
        request = GenerationRequest(
            PromptIds(PROMPT),
            max_tokens=NUM_TOKENS,
            ignore_eos=True,
            sampling=seeded,
            speculation=Speculation(SpeculationMode.FIXED, 2),
        )
        async with places:
            completion = await orchestrator.complete(request)
        assert not completion.summary.speculation.num_degraded_rounds
        return completion.token_ids

    return await asyncio.gather(*map(one, range(num_draws)))


def fit_of_token(place: int, draws: list[tuple[int, ...]], sampling: Sampling, contexts: Contexts) -> Fit:
    """Compare the tokens at a place with the mean of their exact distributions, each given the tokens before it.

    Their counts vary at most as much as draws of the mean itself, so that the test fails no more often than it says.
    """
    parameters = SamplingParameters(
        sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        num_prompt_tokens=len(PROMPT),
    )
    total = np.zeros(VOCABULARY_SIZE)
    exact: dict[tuple[int, ...], np.ndarray] = {}
    for ids in draws:
        context = (*PROMPT, *ids[: place - 1])
        if context not in exact:
            exact[context] = exact_probs(parameters, contexts.logits(context), context)
        total += exact[context]
    counts = np.bincount([ids[place - 1] for ids in draws], minlength=VOCABULARY_SIZE)
    return fit(counts, total / len(draws))


async def check_fits(
    cluster: RunningCluster, contexts: Contexts, name: str, verification: Verification, num_draws: int
) -> list[Fit]:
    async with connect(cluster.address) as orchestrator:
        draws = await draw(orchestrator, SAMPLINGS[name], verification, num_draws)
    fits = [fit_of_token(place, draws, SAMPLINGS[name], contexts) for place in TESTED_TOKENS]
    assert all(one.is_good for one in fits), fits
    return fits


@pytest.mark.parametrize("verification", Verification)
async def test_sampled_tokens_have_the_targets_distribution(
    cluster: RunningCluster, contexts: Contexts, verification: Verification
) -> None:
    await check_fits(cluster, contexts, "top_p", verification, num_draws=500)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("verification", Verification)
@pytest.mark.parametrize("name", sorted(SAMPLINGS))
async def test_twenty_thousand_tokens_have_the_targets_distribution(
    cluster: RunningCluster,
    contexts: Contexts,
    name: str,
    verification: Verification,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fits = await check_fits(cluster, contexts, name, verification, num_draws=20_000)
    with capsys.disabled():
        for place, one in zip(TESTED_TOKENS, fits, strict=True):
            print(
                f"\n{name}, {verification}, token {place}: {one.num_draws} draws, p = {one.p_value:.3f}, "
                f"total variation {one.total_variation:.4f} (noise {one.noise:.4f}, limit {one.limit:.4f})"
            )


async def test_the_same_seed_gives_the_same_tokens_with_any_draft_and_any_length(
    cluster: RunningCluster,
) -> None:
    sampling = Sampling(1.0, seed=11, top_p=0.95, frequency_penalty=0.2)
    async with connect(cluster.address) as orchestrator:
        answers = [
            await orchestrator.complete(
                GenerationRequest(
                    PromptIds(PROMPT),
                    max_tokens=48,
                    ignore_eos=True,
                    sampling=sampling,
                    speculation=Speculation(mode, num_draft_tokens),
                )
            )
            for mode, num_draft_tokens in (
                (SpeculationMode.OFF, None),
                (SpeculationMode.FIXED, 1),
                (SpeculationMode.FIXED, 4),
                (SpeculationMode.FIXED, 8),
                (SpeculationMode.ADAPTIVE, 8),
            )
        ]
    assert len({answer.token_ids for answer in answers}) == 1
