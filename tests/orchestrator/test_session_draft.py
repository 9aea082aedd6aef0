"""A session and its drafts over real sockets: busy, hung, full or talking nonsense."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import pytest

from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.draft_length import DraftLength
from orchestrator.pool import DraftPool
from orchestrator.replica import ReconnectSettings
from orchestrator.replica_client import DraftClient
from orchestrator.replica_liveness import LivenessLimits
from orchestrator.rounds import Proposal, RoundTiming, Verdict
from orchestrator.session import Session
from orchestrator.session_draft import NoProposal, SessionDraft
from paceline.sampling.parameters import SamplingParameters
from tests.orchestrator.byte_tokenizer import VOCABULARY_SIZE
from tests.orchestrator.rig import TOKENIZER, draft, until
from tests.orchestrator.scripted_model import next_id
from tests.orchestrator.scripted_replicas import ScriptedDraft, error, serving
from tests.orchestrator.target_rig import PROMPT, QUICK_LIMITS

LENGTH = DraftLength(3, 0, 3)
PROGRESS: dict[str, Any] = {"progress_seconds": 0.02}


class DraftedSession:
    """A session whose rounds ask a draft; the target is played by the scripted model."""

    def __init__(
        self, pool: DraftPool, patience_seconds: float = 60.0, cool_down_seconds: float = 60.0
    ) -> None:
        self.session = Session(uuid.uuid4().hex, 1, SamplingParameters(), list(PROMPT))
        breaker = CircuitBreaker(cool_down_seconds, cool_down_seconds)
        self.draft = SessionDraft(self.session, pool, breaker, patience_seconds, VOCABULARY_SIZE)
        self.outcomes: Counter[str] = Counter()
        self._round = 0

    async def run(self, num_rounds: int) -> Counter[str]:
        """Play rounds, and return how often each outcome has come so far."""
        if self._round == 0:
            self.draft.prefill(DraftLength(0, 0))
        for _ in range(num_rounds):
            self._round += 1
            outcome = await self.draft.propose(self._round, LENGTH)
            if isinstance(outcome, Proposal):
                self.draft.confirm(outcome, Verdict(0, (0,), RoundTiming(0.0, 0.0, 0)))
            self.outcomes["drafted" if isinstance(outcome, Proposal) else outcome.reason] += 1
            self.session.ids.append(next_id(self.session.ids))
        return self.outcomes


@asynccontextmanager
async def draft_pool(
    services: Sequence[ScriptedDraft],
    limits: LivenessLimits = QUICK_LIMITS,
    cool_down_seconds: float = 0.05,
) -> AsyncIterator[DraftPool]:
    async with serving(*services):
        pool = DraftPool(
            [one.replica.address for one in services],
            DraftClient,
            TOKENIZER.vocabulary_hash,
            partial(CircuitBreaker, cool_down_seconds, 60.0),
            ReconnectSettings(),
            limits,
        )
        async with pool.connected():
            await until(lambda: len(pool.descriptions) == len(services))
            yield pool


@pytest.mark.parametrize("nonsense_ids", [[1 << 20], [1, 2, 3, 4]])
async def test_a_draft_that_talks_nonsense_is_left_alone_by_all_sessions(nonsense_ids):
    services = [draft(0, nonsense_ids=nonsense_ids), draft(1)]
    async with draft_pool(services, cool_down_seconds=60.0) as pool:
        sessions = [DraftedSession(pool) for _ in range(6)]
        await asyncio.gather(*(one.run(10) for one in sessions))
        outcomes = sum((one.outcomes for one in sessions), Counter())
        await asyncio.gather(*(one.draft.close() for one in sessions))
    assert set(outcomes) == {"INVALID_PROPOSAL", "drafted"}
    assert outcomes["INVALID_PROPOSAL"] <= 3, "each session that began there learns it once"


async def test_the_cool_down_of_a_draft_that_talks_nonsense_doubles():
    nonsense = draft(nonsense_ids=[1 << 20])
    async with draft_pool([nonsense], cool_down_seconds=0.02) as pool:
        session, breaker = DraftedSession(pool), pool.replicas[0].breaker
        await session.run(1)
        for num_failures in range(2, 6):
            await until(lambda: not breaker.is_open(asyncio.get_running_loop().time()))
            await session.run(1)
            assert session.outcomes == {"INVALID_PROPOSAL": num_failures}
        await session.run(1)
        assert len([one for one in nonsense.replica.rounds if one.round]) == 5, "it cools down now"
        await session.draft.close()


async def test_sessions_that_start_together_do_not_make_a_busy_draft_look_broken():
    busy = draft(**PROGRESS)
    is_filled = asyncio.Event()

    async def fault(session_id: str, round_number: int) -> None:
        if round_number == 0 and len(busy.replica.rounds) > 1:
            await is_filled.wait()  # the prompts of all but the first
        if round_number == 1:
            await is_filled.wait()  # the first one's round waits behind them

    busy.replica.fault = fault
    limits = LivenessLimits(silence_seconds=5.0, min_stall_seconds=60.0)
    async with draft_pool([busy], limits, cool_down_seconds=60.0) as pool:
        sessions = [DraftedSession(pool, patience_seconds=0.3) for _ in range(16)]
        await sessions[0].run(1)
        await asyncio.gather(*(one.run(1) for one in sessions[1:]))
        assert pool.replicas[0].is_usable
        is_filled.set()
        await until(lambda: len(busy.replica.caches) == 16)
        for session in sessions:
            await until(partial(drafts_again, session, 0))
        await asyncio.gather(*(one.draft.close() for one in sessions))


async def test_a_draft_that_hangs_is_left_for_another_one():
    services = [draft(0, **PROGRESS), draft(1, **PROGRESS)]
    async with draft_pool(services) as pool:
        session = DraftedSession(pool, patience_seconds=0.1)
        await session.run(2)
        hung = next(one.replica for one in services if one.replica.caches)
        hung.engine_runs.clear()
        await until(lambda: drafts_again(session, session.outcomes["drafted"]))
        assert set(session.outcomes) <= {"drafted", "DRAFT_LATE", "SILENT"}
        assert session.draft.owner is not None
        assert session.draft.owner.replica_id != hung.replica_id
        hung.engine_runs.set()
        await session.draft.close()


async def drafts_again(session: DraftedSession, num_before: int) -> bool:
    await session.run(1)
    return session.outcomes["drafted"] > num_before


async def test_a_silent_draft_of_an_older_version_is_left_for_another_one():
    services = [draft(0), draft(1)]
    async with draft_pool(services, LivenessLimits(), cool_down_seconds=60.0) as pool:
        session = DraftedSession(pool, patience_seconds=0.1)
        await session.run(2)
        silent = next(one.replica for one in services if one.replica.caches)
        silent.engine_runs.clear()  # and it answers GetModel
        outcomes = await session.run(3)
        assert outcomes == {"drafted": 4, "DRAFT_LATE": 1}
        silent.engine_runs.set()
        await until(lambda: session.session.session_id in silent.released)
        await session.draft.close()


async def test_a_round_waits_no_longer_than_some_times_what_answers_take():
    service, forever = draft(), asyncio.Event()
    async with draft_pool([service], LivenessLimits()) as pool:
        session = DraftedSession(pool, patience_seconds=3600.0)
        await session.run(10)

        async def hang(session_id: str, round_number: int) -> None:
            await forever.wait()

        service.replica.fault = hang
        async with asyncio.timeout(20):
            outcomes = await session.run(2)
        assert outcomes == {"drafted": 10, "DRAFT_LATE": 2}
        forever.set()
        await session.draft.close()


@pytest.mark.parametrize("reason", ["KV_BLOCKS_EXHAUSTED", "TOO_MANY_SESSIONS"])
async def test_a_full_draft_goes_on_with_the_sessions_that_it_has(reason):
    service = draft()
    async with draft_pool([service], cool_down_seconds=60.0) as pool:
        old, new = DraftedSession(pool), DraftedSession(pool)
        await old.run(2)

        async def refuse(session_id: str, round_number: int):
            is_new = session_id == new.session.session_id
            return error(grpc.StatusCode.RESOURCE_EXHAUSTED, reason) if is_new else None

        service.replica.fault = refuse
        assert await new.run(5) == {reason: 5}
        assert await old.run(5) == {"drafted": 7}
        assert (
            len([one for one in service.replica.rounds if one.point.session_id == new.session.session_id])
            == 1
        )
        await asyncio.gather(old.draft.close(), new.draft.close())


async def test_a_refresh_brings_the_draft_up_to_the_session_and_nobody_waits():
    service, is_free = draft(), asyncio.Event()

    async def wait(session_id: str, round_number: int) -> None:
        await is_free.wait()

    async with draft_pool([service]) as pool:
        session = DraftedSession(pool)
        await session.run(2)
        for _ in range(20):
            session.session.ids.append(next_id(session.session.ids))
        service.replica.fault = wait
        assert session.draft.lag == 21
        assert session.draft.refresh(10, LENGTH).reason == "DRAFT_LATE"
        assert session.draft.lag is None, "it is on its way"
        assert session.draft.refresh(11, LENGTH).reason == "DRAFT_LATE"
        is_free.set()
        await until(lambda: session.draft.lag == 0)
        assert [one.round for one in service.replica.rounds] == [0, 1, 2, 10], "a second one is not sent"
        assert (await session.run(1))["drafted"] == 3
        await session.draft.close()


async def test_a_draft_that_is_not_worth_waiting_for_is_not_blamed():
    service, is_free = draft(), asyncio.Event()

    async def wait(session_id: str, round_number: int) -> None:
        await is_free.wait()

    async with draft_pool([service], LivenessLimits(), cool_down_seconds=60.0) as pool:
        session = DraftedSession(pool, patience_seconds=3600.0)
        await session.run(2)
        service.replica.fault = wait
        outcome = await session.draft.propose(10, LENGTH, longest_wait_seconds=0.01)
        assert outcome == NoProposal("DRAFT_LATE")
        assert pool.replicas[0].is_usable
        is_free.set()
        await until(lambda: session.draft.lag is not None)
        assert (await session.run(1))["drafted"] == 3
        await session.draft.close()
