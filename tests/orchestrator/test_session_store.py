"""The store against a real server: compare-and-set, repeats, races, lifetimes, outages."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis.asyncio import Redis

from orchestrator.errors import SessionStoreUnavailableError
from orchestrator.session_record import (
    CacheOwner,
    Commit,
    NewSession,
    SessionOwners,
    SessionRecord,
    SessionStatus,
)
from orchestrator.session_store import SessionStore, StoreSettings
from paceline.rounds import prefix_digest
from paceline.sampling.parameters import SamplingParameters, Structure, StructureKind, Verification
from paceline.serving.errors import StaleEpochError

OWNERS = SessionOwners(CacheOwner("target-0", "a"), CacheOwner("draft-0", "b"))
OTHER_OWNERS = SessionOwners(CacheOwner("target-1", "c"), None)
PROMPT = (1, 2, 0xFFFFFFFF)
SEED = (1 << 64) - 1


SAMPLING = SamplingParameters(
    temperature=0.7,
    seed=SEED,
    top_k=40,
    logit_bias=((1, -2.5),),
    end_ids=(2,),
    num_logprobs=0,
    verification=Verification.REJECTION,
    structure=Structure(StructureKind.REGEX, "[a-z]+"),
)


def new_session(session_id: str = "s", prompt_ids: tuple[int, ...] = PROMPT) -> NewSession:
    return NewSession(session_id, 1, "tiny", prompt_ids, prefix_digest(prompt_ids), SAMPLING, OWNERS)


def commit_of(
    *ids: int, position: int, status=SessionStatus.RUNNING, before: tuple[int, ...] = PROMPT
) -> Commit:
    return Commit(position, ids, prefix_digest((*before, *ids)), status)


@pytest.fixture
async def store(redis):
    async with SessionStore.connect(StoreSettings(redis.url, timeout_seconds=0.5, num_retries=1)) as store:
        yield store


async def loaded(store: SessionStore, session_id: str = "s") -> SessionRecord:
    record = await store.load(session_id)
    assert record is not None
    return record


async def test_a_session_is_loaded_as_it_was_made(store):
    await store.create(new_session())

    record = await loaded(store)
    assert (record.epoch, record.ids, record.num_prompt_ids) == (1, PROMPT, 3)
    assert (record.sampling, record.model) == (SAMPLING, "tiny")
    assert (record.status, record.owners) == (SessionStatus.RUNNING, OWNERS)
    assert record.digest == prefix_digest(PROMPT)
    assert record.lease_deadline_ms > 0
    assert await store.load("another") is None


async def test_commits_append_and_a_repeat_changes_nothing(store):
    await store.create(new_session())
    first, second = commit_of(4, 5, position=3), commit_of(6, position=5, before=(*PROMPT, 4, 5))
    for commit in (first, first, second, first, second):
        await store.commit("s", 1, commit)
    record = await loaded(store)
    assert record.ids == (*PROMPT, 4, 5, 6)
    assert record.digest == prefix_digest(record.ids)


@pytest.mark.parametrize(
    "commit", [commit_of(9, position=3), commit_of(9, position=7), commit_of(4, 5, 6, position=3)]
)
async def test_ids_that_do_not_follow_are_refused_and_change_nothing(store, commit):
    await store.create(new_session())
    await store.commit("s", 1, commit_of(4, 5, position=3))
    before = await loaded(store)
    with pytest.raises(SessionStoreUnavailableError) as caught:
        await store.commit("s", 1, commit)
    assert caught.value.facts["code"] == "POSITION_MISMATCH"
    assert await loaded(store) == before


async def test_a_stale_epoch_is_refused_and_changes_nothing(store):
    await store.create(new_session())
    assert await store.acquire("s", 1, OTHER_OWNERS) == 2
    before = await loaded(store)
    with pytest.raises(StaleEpochError):
        await store.commit("s", 1, commit_of(4, position=3))
    with pytest.raises(StaleEpochError):
        await store.finish("s", 1, SessionStatus.CANCELLED)
    assert await loaded(store) == before
    assert before.owners == OTHER_OWNERS


async def test_an_epoch_never_goes_back(store):
    await store.create(new_session())
    assert await store.acquire("s", 7, OWNERS) == 8
    assert await store.acquire("s", 3, OWNERS) == 9
    with pytest.raises(SessionStoreUnavailableError) as caught:
        await store.commit("s", 10, commit_of(4, position=3))
    assert caught.value.facts["code"] == "UNKNOWN_EPOCH"


async def test_of_two_owners_that_commit_at_once_exactly_one_wins(store):
    for number in range(20):
        session_id = f"race-{number}"
        await store.create(new_session(session_id))
        outcomes = await asyncio.gather(
            *(store.commit(session_id, 1, commit_of(ids, position=3)) for ids in (4, 5)),
            return_exceptions=True,
        )
        assert sum(outcome is None for outcome in outcomes) == 1
        assert (await loaded(store, session_id)).ids == (*PROMPT, 4 if outcomes[0] is None else 5)


async def test_an_ended_session_takes_nothing_more(store):
    await store.create(new_session())
    last = commit_of(4, position=3, status=SessionStatus.FINISHED)
    await store.commit("s", 1, last)
    await store.commit("s", 1, last)
    await store.finish("s", 1, SessionStatus.CANCELLED)
    record = await loaded(store)
    assert (record.status, record.lease_deadline_ms) == (SessionStatus.FINISHED, 0)
    with pytest.raises(SessionStoreUnavailableError) as caught:
        await store.commit("s", 1, commit_of(5, position=4))
    assert caught.value.facts["code"] == "NOT_RUNNING"


async def test_a_name_is_not_given_twice(store):
    await store.create(new_session())
    await store.create(new_session())
    with pytest.raises(SessionStoreUnavailableError):
        await store.create(replace(new_session(), prompt_ids=(9,)))
    assert (await loaded(store)).ids == PROMPT


async def test_every_key_of_a_session_is_in_one_slot_and_lives_as_long(redis, store):
    await store.create(new_session())
    await store.commit("s", 1, commit_of(4, position=3))
    client = Redis.from_url(redis.url)
    keys = await client.keys("*")
    assert sorted(keys) == [b"paceline:{s}:ids", b"paceline:{s}:state"]
    for key in keys:
        assert 3590 < await client.ttl(key) <= 3600
    await client.aclose()


async def test_a_server_that_has_lost_its_scripts_gets_them_again(redis, store):
    await store.create(new_session())
    client = Redis.from_url(redis.url)
    await client.script_flush()
    await client.aclose()
    await store.commit("s", 1, commit_of(4, position=3))
    assert (await loaded(store)).ids == (*PROMPT, 4)


async def test_a_server_that_is_gone_is_a_clean_error_in_bounded_time(redis, store):
    await store.create(new_session())
    await redis.process.stop(5)
    async with asyncio.timeout(5):
        for call in (store.ping(), store.load("s"), store.commit("s", 1, commit_of(4, position=3))):
            with pytest.raises(SessionStoreUnavailableError):
                await call


class StoreMachine(RuleBasedStateMachine):
    """Any order of calls leaves in Redis what a dictionary would hold."""

    names = Bundle("names")

    def __init__(self, loop: asyncio.AbstractEventLoop, store: SessionStore) -> None:
        super().__init__()
        self.loop, self.store = loop, store
        self.sessions: dict[str, tuple[int, tuple[int, ...], SessionStatus]] = {}
        StoreMachine.num_machines += 1
        self.family = StoreMachine.num_machines

    num_machines = 0

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    def outcome(self, coroutine) -> str:
        try:
            self.call(coroutine)
        except StaleEpochError:
            return "STALE_EPOCH"
        except SessionStoreUnavailableError as error:
            return str(error.facts["code"])
        return "OK"

    @rule(target=names, prompt_ids=st.lists(st.integers(0, 99), min_size=1, max_size=4).map(tuple))
    def create(self, prompt_ids):
        name = f"{self.family}-{len(self.sessions)}"
        self.call(self.store.create(new_session(name, prompt_ids)))
        self.sessions[name] = (1, prompt_ids, SessionStatus.RUNNING)
        return name

    @rule(
        name=names,
        epoch_offset=st.sampled_from([0, 0, 0, -1, 1]),
        position_offset=st.sampled_from([0, 0, 0, -2, -1, 1]),
        ids=st.lists(st.integers(0, 3), min_size=1, max_size=3).map(tuple),
        is_last=st.sampled_from([False, False, False, True]),
    )
    def commit(self, name, epoch_offset, position_offset, ids, is_last):
        epoch, known, status = self.sessions[name]
        position = max(0, len(known) + position_offset)
        new_status = SessionStatus.FINISHED if is_last else SessionStatus.RUNNING
        outcome = self.outcome(
            self.store.commit(name, epoch + epoch_offset, Commit(position, ids, b"", new_status))
        )
        if epoch_offset:
            assert outcome == ("STALE_EPOCH" if epoch_offset < 0 else "UNKNOWN_EPOCH")
        elif position != len(known):
            assert outcome == ("OK" if known[position : position + len(ids)] == ids else "POSITION_MISMATCH")
        elif status is not SessionStatus.RUNNING:
            assert outcome == "NOT_RUNNING"
        else:
            assert outcome == "OK"
            self.sessions[name] = (epoch, known + ids, new_status)

    @rule(name=names, at_least=st.integers(0, 5))
    def acquire(self, name, at_least):
        epoch, known, status = self.sessions[name]
        acquired = self.call(self.store.acquire(name, at_least, OTHER_OWNERS))
        assert acquired == max(epoch, at_least) + 1
        self.sessions[name] = (acquired, known, status)

    @rule(name=names, is_stale=st.booleans())
    def finish(self, name, is_stale):
        epoch, known, status = self.sessions[name]
        outcome = self.outcome(self.store.finish(name, epoch - is_stale, SessionStatus.CANCELLED))
        assert outcome == ("STALE_EPOCH" if is_stale else "OK")
        if not is_stale and status is SessionStatus.RUNNING:
            self.sessions[name] = (epoch, known, SessionStatus.CANCELLED)

    @invariant()
    def redis_holds_what_the_model_holds(self):
        for name, (epoch, ids, status) in self.sessions.items():
            record = self.call(self.store.load(name))
            assert record is not None
            assert (record.epoch, record.ids, record.status) == (epoch, ids, status)


async def test_any_order_of_calls_leaves_what_a_dictionary_would_hold(store):
    machine = partial(StoreMachine, asyncio.get_running_loop(), store)
    slow_is_fine = tuple(HealthCheck)
    profile = settings(
        max_examples=40,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=slow_is_fine,  # pyright: ignore[reportArgumentType] - the enum's type is lost
    )
    # The state machine may be anything that makes one, not only a class.
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=profile)  # pyright: ignore[reportArgumentType]
