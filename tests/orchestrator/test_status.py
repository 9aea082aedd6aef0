"""What operators see of an orchestrator and of its pools."""

import asyncio
import json
import os
import signal
from contextlib import aclosing, asynccontextmanager
from importlib.metadata import version

import grpc

from paceline.client.generation import Speculation, SpeculationMode
from paceline.client.orchestrator_totals import OrchestratorTotals
from paceline.client.replica_state import ReplicaState
from paceline.client.status import StatusClient, connect_to_status
from tests.orchestrator.rig import OFF, draft, failure_of, fixed, ids_request, orchestrating, target, until
from tests.orchestrator.scripted_replicas import error, start
from tests.orchestrator.test_generation import PROMPT
from tests.paceline.cli.command import run

ADAPTIVE = Speculation(SpeculationMode.ADAPTIVE)


@asynccontextmanager
async def watched(redis_url: str, *services, **settings):
    async with (
        orchestrating(redis_url, services, **settings) as rig,
        connect_to_status(rig.address) as client,
    ):
        yield rig, client


async def states(client: StatusClient) -> list[tuple[str, ReplicaState, str]]:
    """Those of the targets."""
    found = (await client.get()).targets
    return [(one.replica.replica_id, one.replica.state, one.replica.reason) for one in found]


async def test_an_orchestrator_that_has_done_nothing_says_so(redis):
    async with watched(redis.url, target(), draft()) as (rig, client):
        status = await client.get()
        assert (status.version, status.is_draining) == (version("paceline"), False)
        assert status.num_running_sessions == 0
        assert status.redis_seconds is not None
        assert status.totals == OrchestratorTotals()
        replica = status.targets[0].replica
        assert (replica.address, replica.replica_id) == (rig.targets[0].address, "target-0")
        assert (replica.state, replica.reason, replica.num_sessions) == (ReplicaState.READY, "", 0)
        assert replica.model is not None
        assert replica.model.name == "scripted"
        assert replica.engine is None
        assert (status.targets[0].pass_seconds, status.targets[0].pairs) == (None, ())
        assert (status.drafts[0].replica.replica_id, status.drafts[0].step_seconds) == ("draft-0", None)
        later = await client.get()
        assert later.orchestrator == status.orchestrator
        assert later.uptime_seconds > status.uptime_seconds


async def test_totals_are_what_the_generations_were_told(redis):
    async with watched(redis.url, target(), draft(quality=0.7)) as (rig, client):
        completions = [
            await rig.client.complete(ids_request(PROMPT, 40, speculation=speculation))
            for speculation in (fixed(3), fixed(5), OFF)
        ]
        totals = (await client.get()).totals
    speculations = [one.summary.speculation for one in completions]
    assert totals.num_generations == 3
    assert totals.num_finished_generations == {"length": 3}
    assert totals.num_failed_generations == {}
    assert totals.num_prompt_tokens == 3 * len(PROMPT)
    assert sum(totals.num_tokens_by_origin.values()) == 3 * 40
    assert set(totals.num_tokens_by_origin) == {"accepted", "bonus", "recovered", "target"}
    assert totals.num_draft_tokens == sum(one.num_draft_tokens for one in speculations)
    assert totals.num_accepted_tokens == sum(one.num_accepted_tokens for one in speculations)
    assert sum(totals.num_rounds_by_drafter.values()) == sum(one.num_rounds for one in speculations)
    assert totals.num_rounds_by_drafter["none"] >= 40
    assert {"target_compute", "draft_compute", "commit", "orchestrator"} <= set(totals.round_seconds_by_part)
    assert sum(totals.round_seconds_by_part.values()) > 0


async def test_what_rounds_have_taught_about_the_replicas_is_shown(redis):
    async with watched(redis.url, target(), draft(quality=1.0)) as (rig, client):
        await rig.client.complete(ids_request(PROMPT, 100, speculation=ADAPTIVE))
        status = await client.get()
    shown = status.targets[0]
    assert shown.pass_seconds is not None
    assert shown.pass_seconds > 0
    assert shown.replica.hop_seconds is not None
    pairs = {one.drafter: one for one in shown.pairs}
    pair = pairs[rig.drafts[0].address]
    assert 1 <= len(pair.acceptance) <= 8
    assert all(0.5 < one <= 1 for one in pair.acceptance)
    assert pair.is_ahead_on
    assert status.drafts[0].step_seconds is not None


async def test_drafting_ahead_is_off_where_the_configuration_has_it_so(redis):
    async with watched(redis.url, target(), draft(), max_ahead_tokens=0) as (rig, client):
        await rig.client.complete(ids_request(PROMPT, 40, speculation=ADAPTIVE))
        assert not any(pair.is_ahead_on for pair in (await client.get()).targets[0].pairs)


async def test_a_session_that_runs_is_counted_where_it_is_bound(redis):
    slow, goes_on = target(progress_seconds=0.02, num_available_blocks=40), asyncio.Event()

    async def wait(session_id: str, round_number: int) -> None:
        if round_number == 2:
            await goes_on.wait()

    slow.replica.fault = wait
    async with watched(redis.url, slow, target(1), draft()) as (rig, client):
        async with aclosing(rig.client.generate(ids_request(PROMPT, 20, speculation=fixed(2)))) as stream:
            await anext(stream)

            async def is_told() -> bool:
                return (await client.get()).targets[0].replica.engine is not None

            await until(is_told)
            status = await client.get()
            assert status.num_running_sessions == 1
            assert (status.totals.num_generations, status.totals.num_finished_generations) == (1, {})
            assert [one.replica.num_sessions for one in status.targets] == [1, 0]
            assert status.drafts[0].replica.num_sessions == 1
            engine = status.targets[0].replica.engine
            assert engine is not None
            assert (engine.num_available_blocks, engine.num_blocks) == (40, 100)
            assert engine.num_steps > 0
            assert 0 <= engine.age_seconds < 1
            goes_on.set()
            assert len([event async for event in stream]) > 1
        status = await client.get()
        assert (status.num_running_sessions, status.totals.num_finished_generations) == (0, {"length": 1})


async def test_a_generation_whose_client_goes_away_has_failed(redis):
    async with watched(redis.url, target()) as (rig, client):
        stream = rig.client.generate(ids_request(PROMPT, 4000))
        await anext(stream)
        await stream.aclose()

        async def has_ended() -> bool:
            return (await client.get()).num_running_sessions == 0

        await until(has_ended)
        totals = (await client.get()).totals
        assert (totals.num_generations, totals.num_failed_generations) == (1, {"CANCELLED": 1})


async def test_a_drained_target_is_draining_until_it_is_gone(redis):
    drained = target()
    server = await start(drained)
    async with (
        orchestrating(redis.url, [], target_addresses=(drained.replica.address,)) as rig,
        connect_to_status(rig.address) as client,
    ):

        async def is_in(state: ReplicaState) -> bool:
            return (await states(client))[0][1] is state

        await until(lambda: is_in(ReplicaState.READY))
        drained.replica.drains.set()
        await until(lambda: is_in(ReplicaState.DRAINING))
        assert await states(client) == [("target-0", ReplicaState.DRAINING, "DRAINING")]
        await server.stop(None)
        await until(lambda: is_in(ReplicaState.GONE))
        assert await states(client) == [("target-0", ReplicaState.GONE, "DRAINING")]
        assert (await client.get()).targets[0].replica.model is None


async def test_a_target_that_never_was_there_and_one_that_is_lost_are_gone(redis):
    lost = target()
    server = await start(lost)
    addresses = (lost.replica.address, "127.0.0.1:1")
    async with (
        orchestrating(redis.url, [], target_addresses=addresses) as rig,
        connect_to_status(rig.address) as client,
    ):
        await until(lambda: len(rig.target_pool.descriptions) == 1)
        await server.stop(None)
        await until(lambda: not rig.target_pool.descriptions)
        assert await states(client) == [
            ("target-0", ReplicaState.GONE, "CONNECTION_LOST"),
            ("", ReplicaState.GONE, "NOT_CONNECTED"),
        ]
        never = (await client.get()).targets[1].replica
        assert (never.address, never.heard_seconds) == ("127.0.0.1:1", None)


async def test_a_target_that_hangs_is_gone_because_it_was_silent(redis):
    hanging, other = target(0, progress_seconds=0.05), target(1)

    async def fault(session_id: str, round_number: int) -> None:
        if round_number == 3:
            hanging.replica.runs.clear()

    hanging.replica.fault = fault
    async with watched(redis.url, hanging, other, replica_silence_seconds=0.3) as (rig, client):
        await rig.client.complete(ids_request(PROMPT, 30, speculation=OFF))
        assert (await states(client))[0] == ("target-0", ReplicaState.GONE, "SILENT")
        hanging.replica.runs.set()


async def test_a_draft_with_another_vocabulary_is_refused(redis):
    other = draft()
    other.replica.vocabulary_sha256 = "other"
    async with watched(redis.url, target(), other) as (rig, client):

        async def is_refused() -> bool:
            return (await client.get()).drafts[0].replica.state is ReplicaState.REFUSED

        await until(is_refused)
        assert (await client.get()).drafts[0].replica.reason == "VOCABULARY_MISMATCH"
        await rig.client.complete(ids_request(PROMPT, 20))
        assert set((await client.get()).totals.num_degraded_rounds) == {"VOCABULARY_MISMATCH"}


async def test_a_draft_that_talks_nonsense_rests(redis):
    async with watched(redis.url, target(), draft(nonsense_ids=[1 << 20]), draft_cool_down_seconds=60.0) as (
        rig,
        client,
    ):
        await rig.client.complete(ids_request(PROMPT, 20, speculation=fixed(3)))
        status = await client.get()
        assert status.drafts[0].replica.state is ReplicaState.RESTING
        assert status.totals.num_degraded_rounds["INVALID_PROPOSAL"] > 0


async def test_failovers_are_counted_by_why(redis):
    dying, other = target(0), target(1)

    async def fault(session_id: str, round_number: int) -> None:
        if round_number == 3:
            dying.replica.is_ready = False
            raise ConnectionError

    dying.replica.fault = fault
    async with watched(redis.url, dying, other) as (rig, client):
        completion = await rig.client.complete(ids_request(PROMPT, 30, speculation=OFF))
        assert completion.summary.recovery.num_failovers == {"CONNECTION_LOST": 1}
        assert (await client.get()).totals.num_failovers == {"CONNECTION_LOST": 1}
        assert (await states(client))[0][1] is ReplicaState.GONE


async def test_a_refused_generation_has_failed_with_its_reason(redis):
    refusing = target()

    async def fault(session_id: str, round_number: int):
        return error(grpc.StatusCode.INTERNAL, "INTERNAL") if round_number == 2 else None

    refusing.replica.fault = fault
    async with watched(redis.url, refusing) as (rig, client):
        await failure_of(rig.client.generate(ids_request(PROMPT, 30, speculation=OFF)), [])
        totals = (await client.get()).totals
        assert totals.num_generations == 1
        assert sum(totals.num_failed_generations.values()) == 1


async def test_a_redis_that_is_gone_is_said_within_a_second(redis):
    async with watched(redis.url, target(), redis_timeout_seconds=5.0) as (_, client):
        os.kill(redis.process.pid, signal.SIGSTOP)
        try:
            assert (await client.get(timeout_seconds=2.0)).redis_seconds is None
        finally:
            os.kill(redis.process.pid, signal.SIGCONT)
        assert (await client.get()).redis_seconds is not None


async def test_an_orchestrator_that_drains_says_so(redis):
    async with watched(redis.url, target()) as (rig, client):
        rig.draining.set()
        assert (await client.get()).is_draining


async def test_top_shows_a_real_orchestrator(redis, tmp_path):
    async with watched(redis.url, target(), draft()) as (rig, _):
        completion = await rig.client.complete(ids_request(PROMPT, 40, speculation=fixed(3)))
        arguments = ("top", "--once", "--interval", "0.2", "--address", rig.address)
        as_json = await run(tmp_path, *arguments, "--json")
        frame = await run(tmp_path, *arguments)
    shown = json.loads(as_json.stdout)
    assert shown["totals"]["num_accepted_tokens"] == completion.summary.speculation.num_accepted_tokens
    assert [one["name"] for one in (*shown["targets"], *shown["drafts"])] == ["target-0", "draft-0"]
    assert shown["orchestrators"][0]["status"]["redis_seconds"] > 0
    assert "1 finished" in frame.stdout
