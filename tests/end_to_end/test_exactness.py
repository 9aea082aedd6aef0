"""The first promise: with a draft or without, alone or beside others, the token ids are the same."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product, zip_longest

import pytest

from paceline.cli.benchmark.prompt_set import BenchPrompt, read_prompts
from paceline.cli.benchmark.trial import TARGET_ONLY, Variant, bench_request
from paceline.client.completion import Completion
from paceline.client.orchestrator import Orchestrator, connect
from tests.end_to_end.cluster_process import RunningCluster, running_cluster

DRAFT_TOKENS = (1, 3, 5, 8)
SESSIONS = (1, 4, 16)


async def complete_all(
    orchestrator: Orchestrator,
    prompts: Sequence[BenchPrompt],
    variant: Variant,
    max_tokens: int,
    num_sessions: int,
) -> list[Completion]:
    """Answer every prompt, `num_sessions` at once; a session that ends makes room for the next."""
    places = asyncio.Semaphore(num_sessions)

    async def complete(prompt: BenchPrompt) -> Completion:
        async with places:
            return await orchestrator.complete(bench_request(prompt, variant, max_tokens))

    return await asyncio.gather(*map(complete, prompts))


async def num_equal_ids(
    orchestrator: Orchestrator,
    expected: Mapping[BenchPrompt, Completion],
    num_draft_tokens: int,
    num_sessions: int,
    max_tokens: int,
) -> int:
    """Generate again, another way, and require the same ids and text; return how many ids there were."""
    prompts = list(expected)
    variant = Variant(num_draft_tokens)
    actual = await complete_all(orchestrator, prompts, variant, max_tokens, num_sessions)
    for prompt, other in zip(prompts, actual, strict=True):
        one = expected[prompt]
        assert other.token_ids == one.token_ids, (
            f"{prompt.kind} {prompt.name}: {one.text!r} != {other.text!r}"
        )
        assert other.text == one.text
    # Otherwise the target would be compared with itself.
    assert sum(one.summary.speculation.num_accepted_tokens for one in actual) > 0
    # Sixteen prompts at once can take a draft on one core longer than rounds wait for it, and it is then left alone
    # for a while; nothing else may be amiss.
    reasons = {reason for one in actual for reason in one.summary.speculation.num_degraded_rounds}
    assert reasons <= {"DRAFT_LATE", "NO_DRAFT_REPLICA"}
    return sum(len(one.token_ids) for one in actual)


async def expect_target_only(
    orchestrator: Orchestrator, prompts: Sequence[BenchPrompt], max_tokens: int
) -> dict[BenchPrompt, Completion]:
    """Generate with the target alone, one session at a time."""
    completions = await complete_all(orchestrator, prompts, TARGET_ONLY, max_tokens, num_sessions=1)
    return dict(zip(prompts, completions, strict=True))


def prompts_of_each_kind(num_prompts: int) -> list[BenchPrompt]:
    """Return as many prompts of each kind as of any other, as far as they go."""
    by_kind: dict[str, list[BenchPrompt]] = {}
    for prompt in read_prompts("all"):
        by_kind.setdefault(prompt.kind, []).append(prompt)
    mixed = [prompt for row in zip_longest(*by_kind.values()) for prompt in row if prompt is not None]
    assert len(mixed) >= num_prompts
    return mixed[:num_prompts]


async def test_the_tiny_pairs_ids_do_not_depend_on_drafts_or_on_other_sessions(
    tiny_cluster: RunningCluster,
) -> None:
    async with connect(tiny_cluster.address) as orchestrator:
        expected = await expect_target_only(orchestrator, prompts_of_each_kind(16), max_tokens=24)
        for num_sessions, num_draft_tokens in ((1, 1), (1, 8), (4, 3), (16, 5)):
            some = dict(islice(expected.items(), max(2, num_sessions)))
            assert await num_equal_ids(orchestrator, some, num_draft_tokens, num_sessions, 24) > 0


@pytest.mark.slow
async def test_the_tiny_pairs_ids_do_not_depend_on_any_draft_length_beside_any_number_of_sessions(
    tiny_cluster: RunningCluster,
) -> None:
    async with connect(tiny_cluster.address) as orchestrator:
        expected = await expect_target_only(orchestrator, prompts_of_each_kind(16), max_tokens=32)
        for num_sessions, num_draft_tokens in product(SESSIONS, DRAFT_TOKENS):
            assert await num_equal_ids(orchestrator, expected, num_draft_tokens, num_sessions, 32) > 0


async def test_the_target_alone_gives_the_same_ids_beside_other_sessions(
    tiny_cluster: RunningCluster,
) -> None:
    prompts = prompts_of_each_kind(10)
    async with connect(tiny_cluster.address) as orchestrator:
        alone = await complete_all(orchestrator, prompts, TARGET_ONLY, 20, num_sessions=1)
        together = await complete_all(orchestrator, prompts, TARGET_ONLY, 20, num_sessions=10)
    assert [one.token_ids for one in together] == [one.token_ids for one in alone]


@pytest.fixture(scope="module")
def reference_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with running_cluster(tmp_path_factory.mktemp("up"), "--pair", "reference") as cluster:
        yield cluster
    assert cluster.supervisor.returncode == 0, (cluster.runtime / "up.log").read_text()


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
async def test_the_reference_pairs_ids_do_not_depend_on_drafts_or_on_other_sessions(
    reference_cluster: RunningCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    num_equal, max_tokens = 0, 128
    async with connect(reference_cluster.address) as orchestrator:
        expected = await expect_target_only(orchestrator, prompts_of_each_kind(20), max_tokens)
        for num_sessions, num_draft_tokens in product(SESSIONS, DRAFT_TOKENS):
            num_equal += await num_equal_ids(
                orchestrator, expected, num_draft_tokens, num_sessions, max_tokens
            )
            with capsys.disabled():
                print(f"\nK = {num_draft_tokens}, {num_sessions} at once: {num_equal} token ids equal so far")
