"""Plans, and a small running cluster: real processes, real orchestrator and Redis, models that take no time."""

from contextlib import aclosing
from dataclasses import replace

import pytest

from benchmarks.simulation.chain_model import ChainModel, prompt_ids
from benchmarks.simulation.cluster import replica_plans, running_cluster
from benchmarks.simulation.measurement import measure
from benchmarks.simulation.redis_usage import bytes_per_session
from benchmarks.simulation.run_options import RunOptions
from benchmarks.simulation.settings import Settings
from benchmarks.simulation.step_time import StepTime
from paceline.client.generation import GenerationRequest, PromptIds, Speculation, SpeculationMode
from paceline.client.orchestrator import connect
from tests.benchmarks.simulation.chain_text import continuation

SETTINGS = Settings(
    targets=2, drafts=1, sessions=3, acceptance=0.8, num_draft_tokens=4, max_tokens=24,
    target_steps=StepTime.line(2, 0), draft_steps=StepTime.line(0.5, 0),
)  # fmt: skip
OPTIONS = RunOptions(seconds=2.0, warm_up_seconds=0.0, num_client_processes=2)


def test_replicas_are_dealt_out_to_processes_and_one_of_each_makes_two():
    plans = replica_plans(Settings(targets=5, drafts=3), RunOptions(num_replica_processes=2))
    assert [(plan.num_targets, plan.num_drafts) for plan in plans] == [(3, 1), (2, 2)]
    plans = replica_plans(Settings(), RunOptions(num_replica_processes=2))
    assert [(plan.num_targets, plan.num_drafts) for plan in plans] == [(1, 0), (0, 1)]


def test_a_round_trip_is_half_on_each_way_and_dilated():
    (plan,) = replica_plans(
        Settings(rtt_ms=10, draft_rtt_ms=4, dilation=5), RunOptions(num_replica_processes=1)
    )
    assert (plan.target.one_way_seconds, plan.draft.one_way_seconds) == (0.025, 0.01)
    assert (plan.target.dilation, plan.draft.dilation) == (5, 5)


@pytest.fixture(scope="module")
def prompt():
    return prompt_ids(7, 7, 20)


async def test_the_text_is_the_chains_with_speculation_and_without_at_any_distance(tmp_path, prompt):
    expected = continuation(ChainModel(), prompt, 40)
    settings = replace(SETTINGS, rtt_ms=4.0, draft_rtt_ms=2.0)
    async with (
        running_cluster(settings, OPTIONS, tmp_path) as cluster,
        connect(cluster.addresses[0]) as client,
    ):
        for speculation in (Speculation(SpeculationMode.OFF), Speculation(SpeculationMode.FIXED, 4)):
            request = GenerationRequest(PromptIds(prompt), 40, speculation, ignore_eos=True)
            completion = await client.complete(request)
            assert list(completion.token_ids) == expected
        assert completion.summary.speculation.num_accepted_tokens > 0
        async with aclosing(client.generate(request)) as events:
            await anext(events)
        assert (await bytes_per_session(cluster.redis.url) or 0) > 0


async def test_a_load_tells_what_came_and_what_was_used(tmp_path):
    async with running_cluster(SETTINGS, OPTIONS, tmp_path) as cluster:
        outcome = await measure(cluster, SETTINGS, SETTINGS.speculation, OPTIONS, turn=0)
    assert outcome.failures == {}
    assert outcome.num_begun_sessions == 3
    assert outcome.num_generations > 0
    assert outcome.tokens_per_second >= outcome.rounds_per_second > 0
    assert outcome.acceptance == pytest.approx(0.8, abs=0.15)
    assert outcome.orchestrator_cpu_ms > 0
    assert outcome.orchestrator_mib > 10
    assert outcome.redis_commands_per_round > 1
    assert (outcome.redis_bytes_per_session or 0) > 100
