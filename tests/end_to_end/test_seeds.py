"""Sampled text is a function of prompt, seed and target: whatever drafts, however much, alone or beside others."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.client.completion import Completion
from paceline.client.generation import (
    Chat,
    Drafter,
    GenerationRequest,
    Sampling,
    Speculation,
    SpeculationMode,
)
from paceline.client.orchestrator import Orchestrator, connect
from paceline.engine.graph.manifest import Manifest
from paceline.models.chat_message import ChatMessage
from paceline.models.prepare import prepare
from paceline.models.tokenizer import Tokenizer
from tests.end_to_end.cluster_process import RunningCluster, running_cluster
from tests.end_to_end.test_exactness import prompts_of_each_kind
from tests.paceline.engine.tiny_models import LLAMA, random_weights, stored_weights, write_prepared


class Way(NamedTuple):
    """One way to generate the same text."""

    speculation: Speculation
    num_at_once: int


ALONE = Way(Speculation(SpeculationMode.OFF), 1)
WAYS = [
    Way(Speculation(SpeculationMode.OFF), 16),
    *(
        Way(Speculation(SpeculationMode.FIXED, num_draft_tokens, drafter), num_at_once)
        for drafter in (Drafter.MODEL, Drafter.PROMPT_LOOKUP)
        for num_draft_tokens in (1, 4, 8)
        for num_at_once in (1, 16)
    ),
    Way(Speculation(SpeculationMode.ADAPTIVE, 8), 16),
]


async def generate(
    orchestrator: Orchestrator, prompts: Sequence[BenchPrompt], way: Way, max_tokens: int
) -> list[Completion]:
    places = asyncio.Semaphore(way.num_at_once)

    async def one(seed: int, prompt: BenchPrompt) -> Completion:
        request = GenerationRequest(
            Chat((ChatMessage("user", prompt.text),)),
            max_tokens=max_tokens,
            ignore_eos=True,
            speculation=way.speculation,
            sampling=Sampling(1.0, seed=seed),
        )
        async with places:
            return await orchestrator.complete(request)

    return await asyncio.gather(*(one(seed, prompt) for seed, prompt in enumerate(prompts)))


async def num_equal_ids(
    address: str, prompts: Sequence[BenchPrompt], ways: Sequence[Way], max_tokens: int
) -> int:
    """Generate in all ways and require the same ids; return how many were compared."""
    num_equal = 0
    async with connect(address) as orchestrator:
        expected = await generate(orchestrator, prompts, ALONE, max_tokens)
        for way in ways:
            actual = await generate(orchestrator, prompts, way, max_tokens)
            assert [one.token_ids for one in actual] == [one.token_ids for one in expected], way
            num_equal += sum(len(one.token_ids) for one in actual)
    return num_equal


@pytest.fixture
def random_draft_cluster(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningCluster]:
    """SmolLM2 with a draft of its own vocabulary and random weights."""
    target = prepare("smollm2-135m-instruct", "int8")
    with running_cluster(
        tmp_path_factory.mktemp("up"),
        "--target",
        str(target),
        "--draft",
        str(_random_draft(target, tmp_path / "draft")),
    ) as cluster:
        yield cluster


def _random_draft(target: Path, directory: Path) -> Path:
    shape = replace(
        LLAMA,
        num_layers=1,
        vocabulary_size=Manifest.read(target).architecture.vocabulary_size,
        max_context_tokens=2048,
    )
    Tokenizer.load(target).save(directory)
    return write_prepared(directory, shape, stored_weights(random_weights(shape), "int8"), "int8")


async def test_a_seeds_text_is_the_same_in_every_way(tiny_cluster: RunningCluster) -> None:
    ways = [WAYS[0], WAYS[3], WAYS[10], WAYS[-1]]
    assert await num_equal_ids(tiny_cluster.address, prompts_of_each_kind(4), ways, 20) > 0


async def test_a_seeds_text_is_the_same_with_a_draft_of_random_weights(
    random_draft_cluster: RunningCluster,
) -> None:
    ways = [Way(Speculation(SpeculationMode.FIXED, 4), 4)]
    assert await num_equal_ids(random_draft_cluster.address, prompts_of_each_kind(4), ways, 24) > 0


@pytest.mark.slow
@pytest.mark.timeout(2 * 3600)
async def test_fifty_prompts_of_a_hundred_tokens(
    tiny_cluster: RunningCluster, random_draft_cluster: RunningCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts = (prompts_of_each_kind(25) * 2)[:50]  # a prompt that comes again has another seed
    num_equal = await num_equal_ids(tiny_cluster.address, prompts, WAYS, 100)
    num_equal += await num_equal_ids(random_draft_cluster.address, prompts, WAYS[1:7], 100)
    with capsys.disabled():
        print(f"\n{num_equal} sampled token ids equal")
