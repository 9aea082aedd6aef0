"""A session and its targets over real sockets: hung, cut off, draining, full or repeating themselves."""

import asyncio
import dataclasses
import time
from typing import Any

import grpc
import pytest

from orchestrator.errors import NoTargetReplicaError, RoundFailedError
from orchestrator.replica_liveness import LivenessLimits
from orchestrator.session_target import FailoverSettings
from tests.orchestrator.rig import target, until
from tests.orchestrator.scripted_replicas import error, out_of_blocks, serving
from tests.orchestrator.target_rig import (
    PROMPT,
    QUICK_LIMITS,
    SETTINGS,
    HeldSession,
    generate_together,
    target_pool,
)
from tests.orchestrator.tcp_proxy import wire_to

PROGRESS: dict[str, Any] = {"progress_seconds": 0.02}


def serving_of(session: HeldSession, services):
    """The scripted target that the session is bound to."""
    (service,) = [one for one in services if one.replica.address == session.target.address]
    return service.replica


async def shown_progress(pool, session: HeldSession, replica) -> None:
    """Generate one id slowly enough for the replica to send progress meanwhile."""

    async def slow(session_id: str, round_number: int) -> None:
        await until(lambda: any(one.pulse.progress is not None for one in pool.replicas))

    replica.fault, fault = slow, replica.fault
    await session.generate(1)
    replica.fault = fault


async def test_a_stopped_target_is_given_up_for_all_its_sessions_at_once():
    services = [target(0, **PROGRESS), target(1, **PROGRESS)]
    async with target_pool(services) as pool:
        sessions = [HeldSession(pool) for _ in range(8)]
        await generate_together(sessions, 3)
        stopped = serving_of(sessions[0], services)
        mine = [one for one in sessions if serving_of(one, services) is stopped]
        await shown_progress(pool, mine[0], stopped)
        stopped.runs.clear()
        await generate_together(sessions, 5)
        assert len(mine) == 4
        for session in mine:
            assert session.target.recovery.num_failovers == {"SILENT": 1}
            assert session.target.recovery.detection_seconds > 0
        for session in set(sessions) - set(mine):
            assert not session.target.recovery.num_failovers
        stopped.runs.set()


async def test_a_target_whose_engine_stands_still_is_given_up():
    services = [target(0, **PROGRESS), target(1, **PROGRESS)]
    async with target_pool(services) as pool:
        session = HeldSession(pool)
        await session.generate(3)
        stalled = serving_of(session, services)
        stalled.engine_runs.clear()
        await session.generate(3)
        assert serving_of(session, services) is not stalled
        assert session.target.recovery.num_failovers == {"SILENT": 1}
        stalled.engine_runs.set()


async def test_a_target_that_is_slow_and_goes_on_is_not_given_up():
    slow = target(**PROGRESS)
    async with target_pool([slow]) as pool:
        session = HeldSession(pool)

        # Many times longer than any limit on silence or on a standstill.
        async def fault(session_id: str, round_number: int) -> None:
            num_steps = slow.replica.num_steps
            await until(lambda: slow.replica.num_steps > num_steps + 100)

        slow.replica.fault = fault
        await session.generate(1)
        assert not session.target.recovery.num_failovers


async def test_a_pause_of_our_own_process_is_not_taken_for_a_hang():
    services = [target(0, **PROGRESS), target(1, **PROGRESS)]
    async with target_pool(services) as pool:
        session = HeldSession(pool)
        await session.generate(1)
        mine = serving_of(session, services)
        await shown_progress(pool, session, mine)

        async def stop_the_world(session_id: str, round_number: int) -> None:
            time.sleep(3 * QUICK_LIMITS.silence_seconds)  # noqa: ASYNC251, nothing of this process runs

        mine.fault = stop_the_world
        await session.generate(2)
        assert not session.target.recovery.num_failovers


async def test_a_stopped_target_of_an_older_version_is_noticed_by_asking_it():
    services = [target(0), target(1)]
    async with target_pool(services) as pool:
        session = HeldSession(pool)
        await session.generate(2)
        stopped = serving_of(session, services)
        stopped.runs.clear()
        await session.generate(2)
        assert serving_of(session, services) is not stopped
        stopped.runs.set()


async def test_a_busy_target_of_an_older_version_has_until_its_deadline():
    services = [target(0), target(1)]
    settings = dataclasses.replace(SETTINGS, deadline_seconds=1.5)
    asked: list[float] = []
    loop = asyncio.get_running_loop()

    async def busy(session_id: str, round_number: int) -> None:
        asked.append(loop.time())
        if len(asked) == 1:
            await asyncio.Event().wait()

    async with target_pool(services) as pool:
        session = HeldSession(pool, settings)
        for service in services:
            service.replica.fault = busy
        await session.generate(1)
    assert session.target.recovery.num_failovers == {"SILENT": 1}
    assert asked[1] - asked[0] > 1.4  # it answered GetModel all the time


async def test_a_target_behind_a_cut_wire_is_given_up_and_comes_back_when_it_is_mended():
    services = [target(0, **PROGRESS), target(1, **PROGRESS)]
    async with serving(*services), wire_to(services[0].replica.address) as wire:
        addresses = [wire.address, services[1].replica.address]
        async with target_pool([], addresses=addresses) as pool:
            await until(lambda: len(pool.descriptions) == 2)
            session = HeldSession(pool)
            session.owners.append(session.target.bind(wire.address))
            await session.generate(2)
            await shown_progress(pool, session, services[0].replica)
            wire.is_cut = True
            await session.generate(2)
            assert session.target.address == addresses[1]
            wire.is_cut = False
            await until(lambda: all(one.is_usable for one in pool.replicas), 60)


async def test_a_lost_connection_is_noticed_and_what_it_took_is_told():
    services = [target(0), target(1)]
    async with target_pool(services) as pool:
        session = HeldSession(pool)
        await session.generate(4)
        lost = serving_of(session, services)

        async def break_stream(session_id: str, round_number: int) -> None:
            raise ConnectionError

        lost.fault = break_stream
        await session.generate(2)
        assert serving_of(session, services) is not lost
        recovery = session.target.recovery
        assert recovery.num_failovers == {"CONNECTION_LOST": 1}
        assert recovery.num_rebuilt_tokens == len(PROMPT) + 3
        assert min(recovery.takeover_seconds, recovery.rebuild_seconds) > 0


async def test_draining_does_not_count_as_going_away():
    services = [target(0), target(1), target(2)]
    settings = dataclasses.replace(SETTINGS, max_failovers=0)
    async with target_pool(services) as pool:
        session = HeldSession(pool, settings)
        await session.generate(2)
        serving_of(session, services).drains.set()
        await until(lambda: len(pool.descriptions) == 2)  # between two of its rounds
        await session.generate(2)
        draining = serving_of(session, services)

        async def drain(session_id: str, round_number: int) -> None:
            draining.drains.set()
            await asyncio.Event().wait()

        draining.fault = drain  # while its round runs
        await session.generate(2)
        assert session.target.recovery.num_failovers == {"DRAINING": 2}
        assert len({one.replica_id for one in session.owners}) == 3


async def test_a_draining_process_is_not_chosen_while_it_is_still_connected():
    service = target()

    async def refuse(session_id: str, round_number: int):
        return error(grpc.StatusCode.UNAVAILABLE, "DRAINING")

    service.replica.fault = refuse
    async with target_pool([service]) as pool:
        with pytest.raises(NoTargetReplicaError):
            await HeldSession(pool, dataclasses.replace(SETTINGS, wait_seconds=0.3)).generate(1)
        assert pool.choose() is None
    assert len(service.replica.rounds) == 1


async def test_a_process_that_was_replaced_between_two_rounds_no_longer_owns_the_session():
    service = target()
    async with target_pool([service]) as pool:
        session = HeldSession(pool)
        await session.generate(3)
        service.replica.incarnation = "second"
        service.replica.caches.clear()
        service.replica.drains.set()
        await until(lambda: not pool.descriptions)
        service.replica.drains.clear()
        await until(lambda: len(pool.descriptions) == 1)
        await session.generate(3)
        assert [one.incarnation for one in session.owners][1:] == ["second"]
        assert session.target.recovery.num_rebuilt_tokens == len(PROMPT) + 2


async def test_a_replica_that_has_just_failed_is_not_chosen_while_another_is_usable():
    services = [target(0), target(1)]
    async with target_pool(services) as pool:
        busy = [HeldSession(pool) for _ in range(2)]
        await generate_together(busy, 1)
        session = HeldSession(pool)
        await session.generate(1)
        failing = serving_of(session, services)

        async def break_engine(session_id: str, round_number: int):
            return error(grpc.StatusCode.UNAVAILABLE, "ENGINE_FAILED")

        failing.fault = break_engine
        await session.generate(1)
        assert serving_of(session, services) is not failing
        assert session.target.recovery.num_failovers == {"ENGINE_FAILED": 1}


@pytest.mark.parametrize("reason", ["KV_BLOCKS_EXHAUSTED", "TOO_MANY_SESSIONS"])
async def test_a_session_that_finds_no_room_goes_where_there_is_some(reason):
    services = [target(0), target(1), target(2)]
    settings = dataclasses.replace(SETTINGS, max_failovers=0)
    async with target_pool(services) as pool:
        session = HeldSession(pool, settings)
        await session.generate(2)

        async def refuse(session_id: str, round_number: int):
            return error(grpc.StatusCode.RESOURCE_EXHAUSTED, reason)

        full = [serving_of(session, services)]
        full.append(next(one.replica for one in services if one.replica is not full[0]))
        for replica in full:
            replica.fault = refuse
        await session.generate(3)
        assert serving_of(session, services) not in full
        assert set(session.target.recovery.num_failovers) == {reason}
        assert max(len([one for one in replica.rounds if one.round == 2]) for replica in full) == 1


async def test_a_session_waits_for_room_where_every_target_is_full():
    services = [target(0), target(1)]
    refusals = [0]

    async def refuse(session_id: str, round_number: int):
        refusals[0] += 1
        return out_of_blocks(num_needed=2, num_total=10) if refusals[0] <= 6 else None

    for service in services:
        service.replica.fault = refuse
    async with target_pool(services) as pool:
        session = HeldSession(pool)
        await session.generate(3)
    assert refusals[0] == 9


async def test_waiting_for_room_is_bounded_and_the_refusal_is_what_the_client_learns():
    services = [target(0), target(1)]

    async def refuse(session_id: str, round_number: int):
        return out_of_blocks(num_needed=2, num_total=10)

    for service in services:
        service.replica.fault = refuse
    settings = dataclasses.replace(SETTINGS, admission_wait_seconds=0.3)
    async with target_pool(services) as pool:
        with pytest.raises(RoundFailedError) as caught:
            await HeldSession(pool, settings).generate(1)
    assert caught.value.reason == "KV_BLOCKS_EXHAUSTED"
    assert min(len(one.replica.rounds) for one in services) > 1


async def test_what_can_never_fit_is_refused_by_each_target_once():
    services = [target(0), target(1)]

    async def refuse(session_id: str, round_number: int):
        return out_of_blocks(num_needed=11, num_total=10)

    for service in services:
        service.replica.fault = refuse
    async with target_pool(services) as pool:
        with pytest.raises(RoundFailedError):
            await HeldSession(pool).generate(1)
    assert [len(one.replica.rounds) for one in services] == [1, 1]


async def test_a_stale_epoch_ends_the_rounds_and_tells_the_epoch_that_the_replica_knows():
    service = target()

    async def refuse(session_id: str, round_number: int):
        refusal = error(grpc.StatusCode.ABORTED, "STALE_EPOCH")
        refusal.metadata["known_epoch"] = "7"
        return refusal

    service.replica.fault = refuse
    async with target_pool([service]) as pool:
        with pytest.raises(RoundFailedError) as caught:
            await HeldSession(pool).generate(1)
    assert (caught.value.reason, caught.value.facts["known_epoch"]) == ("STALE_EPOCH", "7")
    assert len(service.replica.rounds) == 1


async def test_answers_that_come_twice_are_dropped_and_counted():
    service = target(answers_twice=True)
    async with target_pool([service]) as pool:
        sessions = [HeldSession(pool) for _ in range(4)]
        await generate_together(sessions, 10)
        service.replica.drains.set()
        await until(lambda: not pool.descriptions)
        (replica,) = pool.replicas
    assert replica.num_dropped_results > 30


async def test_without_any_target_waiting_is_bounded():
    service = target()
    settings = FailoverSettings(60.0, 0.2, 3)

    async def die(session_id: str, round_number: int) -> None:
        service.replica.is_ready = False
        raise ConnectionError

    service.replica.fault = die
    async with target_pool([service]) as pool:
        with pytest.raises(NoTargetReplicaError):
            await HeldSession(pool, settings).generate(1)


async def test_a_stalled_target_that_comes_back_is_tried_by_one_session_first():
    service = target(**PROGRESS)
    async with target_pool([service], cool_down_seconds=1.0) as pool:
        sessions = [HeldSession(pool) for _ in range(6)]
        await generate_together(sessions, 2)
        service.replica.engine_runs.clear()
        num_before = len(service.replica.rounds)
        going_on = asyncio.gather(*(session.generate(2) for session in sessions))
        await until(lambda: len(service.replica.rounds) == num_before + 6)
        await until(lambda: len(service.replica.rounds) == num_before + 7)
        assert not pool.replicas[0].is_usable  # one is trying
        service.replica.engine_runs.set()
        await going_on
    assert {one.target.recovery.num_failovers["SILENT"] for one in sessions} <= {1, 2}


async def test_a_new_session_goes_where_its_beginning_was_computed():
    services = [target(0), target(1), target(2)]
    system_prompt = list(range(100))
    async with target_pool(services) as pool:
        first = HeldSession(pool, prompt=system_prompt)
        await first.generate(1)
        warm = first.target.address
        first.target.close()
        for number in range(3):
            other = HeldSession(pool, prompt=[*system_prompt, number])
            await other.generate(1)
            assert other.target.address == warm
        stranger = HeldSession(pool, prompt=[7] * 100)
        await stranger.generate(1)
        assert stranger.target.address != warm


async def test_a_session_goes_back_to_the_replica_that_served_it():
    services = [target(0), target(1), target(2)]
    async with target_pool(services, LivenessLimits()) as pool:
        for number in (2, 0, 1):
            owner = HeldSession(pool).target.bind(preferred_replica_id=f"target-{number}")
            assert owner.replica_id == f"target-{number}"
    assert QUICK_LIMITS.silence_seconds < LivenessLimits().silence_seconds
