"""What operators see of sessions, and how they end one."""

import asyncio
from contextlib import aclosing

import pytest

from paceline.client.errors import CallFailedError
from paceline.client.generation import GenerationEvent
from paceline.client.sessions import SessionStatus, connect_to_sessions
from tests.orchestrator.rig import draft, failure_of, ids_request, orchestrating, target, until
from tests.orchestrator.test_continuations import ids_of, session_of
from tests.orchestrator.test_generation import PROMPT
from tests.orchestrator.test_resuming_client import slow_target


async def test_sessions_are_listed_and_shown_as_they_are(redis):
    async with (
        orchestrating(redis.url, [target(), draft()]) as rig,
        connect_to_sessions(rig.address) as sessions,
    ):
        completions = [await rig.client.complete(ids_request(PROMPT, 10)) for _ in range(3)]
        listing = await sessions.list()
        assert [one.session_id for one in listing.sessions] == [
            one.started.session_id for one in reversed(completions)
        ]
        assert (listing.num_found, listing.sessions[0].status) == (3, SessionStatus.FINISHED)
        shown = await sessions.get(completions[0].started.session_id)
        assert (shown.position, shown.num_prompt_tokens) == (len(PROMPT) + 10, len(PROMPT))
        assert (shown.target, shown.draft, shown.lease_seconds) == ("target-0", "draft-0", None)
        assert shown.orchestrator
        assert len((await sessions.list(max_sessions=2)).sessions) == 2
        assert (await sessions.list(SessionStatus.RUNNING)).num_found == 0


async def test_a_cancelled_session_ends_with_its_reason_and_frees_its_caches(redis):
    async with (
        orchestrating(redis.url, [slow_target(0), draft()]) as rig,
        connect_to_sessions(rig.address) as sessions,
    ):
        stream = rig.client.generate(ids_request(PROMPT, 1000))
        seen: list[GenerationEvent] = [await anext(stream), await anext(stream)]
        running = (await sessions.list(SessionStatus.RUNNING)).sessions
        assert [one.session_id for one in running] == [session_of(seen)]
        assert running[0].lease_seconds is not None
        cancelled = await sessions.cancel(session_of(seen))
        assert cancelled.status is SessionStatus.CANCELLED
        error = await failure_of(stream, seen)
        assert (error.code, error.call_reason) == ("CANCELLED", "SESSION_CANCELLED")
        assert len(ids_of(seen)) < 1000
        await until(lambda: not rig.targets[0].caches and not rig.drafts[0].caches)
        assert (await sessions.cancel(session_of(seen))).epoch == cancelled.epoch


async def test_a_lease_is_renewed_while_a_round_takes_long(redis):
    patient = target()
    is_held = asyncio.Event()

    async def wait(session_id: str, round_number: int) -> None:
        if round_number == 3:
            await is_held.wait()

    patient.replica.fault = wait
    async with (
        orchestrating(redis.url, [patient, draft()], lease_seconds=0.3) as rig,
        connect_to_sessions(rig.address) as sessions,
        aclosing(rig.client.generate(ids_request(PROMPT, 50))) as stream,
    ):
        started = await anext(stream)
        deadlines: set[float] = set()

        async def is_renewed() -> bool:
            session = await sessions.get(session_of([started]))
            assert session.lease_seconds is not None
            assert session.lease_seconds > 0
            deadlines.add(round(session.idle_seconds + session.lease_seconds, 1))
            return session.idle_seconds > 0.0 and session.ttl_seconds > 3590 and len(deadlines) > 3

        await until(is_renewed)
        is_held.set()
        assert len(ids_of([event async for event in stream])) == 50


async def test_unknown_sessions_and_bad_wishes_are_refused(redis):
    async with (
        orchestrating(redis.url, [target(), draft()]) as rig,
        connect_to_sessions(rig.address) as sessions,
    ):
        for call, code, reason in (
            (sessions.get("0" * 32), "NOT_FOUND", "SESSION_NOT_FOUND"),
            (sessions.cancel("0" * 32), "NOT_FOUND", "SESSION_NOT_FOUND"),
            (sessions.get(""), "INVALID_ARGUMENT", "INVALID_REQUEST"),
            (sessions.list(max_sessions=0), "INVALID_ARGUMENT", "INVALID_REQUEST"),
            (sessions.list(max_sessions=10_001), "INVALID_ARGUMENT", "INVALID_REQUEST"),
        ):
            with pytest.raises(CallFailedError) as caught:
                await call
            assert (caught.value.code, caught.value.call_reason) == (code, reason)
