"""The store against real servers: compare-and-set, repeats, races, take-overs, lifetimes, losses, outages."""

import asyncio
from dataclasses import replace

import pytest

from orchestrator.errors import (
    SessionCancelledError,
    SessionLostError,
    SessionMovedError,
    SessionStoreUnavailableError,
)
from orchestrator.session_store import SessionStore, StoreSettings
from paceline.client.session_status import SessionStatus
from paceline.rounds import prefix_digest
from paceline.serving.errors import StaleEpochError
from tests.orchestrator.redis_servers import PROGRAMS, Server, program_of, server
from tests.orchestrator.session_cases import (
    OTHER_OWNERS,
    OWNERS,
    PROMPT,
    SAMPLING,
    commit_of,
    loaded,
    new_session,
    take_over_of,
)


@pytest.fixture(params=PROGRAMS)
async def redis(request):
    async with server(program_of(request.param)) as one:
        yield one


@pytest.fixture
async def store(redis):
    async with SessionStore.connect(StoreSettings(redis.url, timeout_seconds=0.5, num_retries=1)) as store:
        yield store


@pytest.fixture
async def client(redis):
    async with redis.client() as client:
        yield client


class TestChanges:
    async def test_a_session_is_loaded_as_it_was_made(self, store):
        await store.create(new_session(task='{"max_tokens":3}', orchestrator="orchestrator-0"))
        record = await loaded(store)
        assert (record.epoch, record.ids, record.num_prompt_ids) == (1, PROMPT, 3)
        assert (record.sampling, record.model) == (SAMPLING, "tiny")
        assert (record.status, record.owners) == (SessionStatus.RUNNING, OWNERS)
        assert (record.task, record.orchestrator) == ('{"max_tokens":3}', "orchestrator-0")
        assert record.digest == prefix_digest(PROMPT)
        assert record.lease_deadline_ms == record.updated_ms + 10_000
        assert await store.load("another") is None

    async def test_a_fork_begins_with_committed_ids(self, store):
        await store.create(new_session(committed_ids=(4, 5)))
        record = await loaded(store)
        assert (record.ids, record.num_prompt_ids) == ((*PROMPT, 4, 5), 3)
        await store.commit("s", 1, commit_of(6, position=5, before=record.ids))
        assert (await loaded(store)).ids == (*PROMPT, 4, 5, 6)

    async def test_commits_append_and_a_repeat_changes_nothing(self, store):
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
    async def test_ids_that_do_not_follow_are_refused_and_change_nothing(self, store, commit):
        await store.create(new_session())
        await store.commit("s", 1, commit_of(4, 5, position=3))
        before = await loaded(store)
        with pytest.raises(SessionLostError) as caught:
            await store.commit("s", 1, commit)
        assert caught.value.facts["code"] == "POSITION_MISMATCH"
        assert await loaded(store) == before

    async def test_of_two_owners_that_commit_at_once_exactly_one_wins(self, store):
        for number in range(20):
            session_id = f"race-{number}"
            await store.create(new_session(session_id))
            outcomes = await asyncio.gather(
                *(store.commit(session_id, 1, commit_of(ids, position=3)) for ids in (4, 5)),
                return_exceptions=True,
            )
            assert sum(outcome is None for outcome in outcomes) == 1
            assert (await loaded(store, session_id)).ids == (*PROMPT, 4 if outcomes[0] is None else 5)

    async def test_an_ended_session_takes_nothing_more(self, store):
        await store.create(new_session())
        last = commit_of(4, position=3, status=SessionStatus.FINISHED)
        await store.commit("s", 1, last)
        await store.commit("s", 1, last)
        await store.finish("s", 1, SessionStatus.SUSPENDED)
        record = await loaded(store)
        assert (record.status, record.lease_deadline_ms) == (SessionStatus.FINISHED, 0)
        with pytest.raises(SessionStoreUnavailableError) as caught:
            await store.commit("s", 1, commit_of(5, position=4))
        assert caught.value.facts["code"] == "NOT_RUNNING"

    async def test_a_name_is_not_given_twice(self, store):
        await store.create(new_session())
        await store.create(new_session())
        with pytest.raises(SessionStoreUnavailableError):
            await store.create(replace(new_session(), prompt_ids=(9,)))
        assert (await loaded(store)).ids == PROMPT


class TestTakeOver:
    async def test_a_new_owner_goes_on_and_the_old_one_is_refused(self, store):
        await store.create(new_session())
        await store.commit("s", 1, commit_of(4, position=3))
        await store.finish("s", 1, SessionStatus.SUSPENDED)
        epoch = store.next_epoch(1)
        await store.take_over("s", take_over_of(await loaded(store), epoch))
        record = await loaded(store)
        assert (record.epoch, record.ids, record.status) == (epoch, (*PROMPT, 4), SessionStatus.RUNNING)
        assert (record.owners, record.orchestrator) == (OTHER_OWNERS, "orchestrator-1")
        assert record.lease_deadline_ms == record.updated_ms + 10_000
        assert (record.sampling, record.num_prompt_ids, record.task) == (SAMPLING, 3, "{}")
        for call in (
            store.commit("s", 1, commit_of(5, position=4)),
            store.finish("s", 1, SessionStatus.SUSPENDED),
            store.renew("s", 1),
        ):
            with pytest.raises(StaleEpochError) as caught:
                await call
            assert caught.value.facts["known_epoch"] == epoch
        assert await loaded(store) == record

    async def test_a_rewind_cuts_appends_and_changes_parameters(self, store):
        await store.create(new_session())
        await store.commit("s", 1, commit_of(4, 5, 6, position=3, status=SessionStatus.FINISHED))
        sampling = replace(SAMPLING, seed=5)
        rewind = take_over_of(
            await loaded(store), 9, 7, 8, keep_position=4, num_prompt_ids=6, sampling=sampling, task="[]"
        )
        await store.take_over("s", rewind)
        record = await loaded(store)
        assert (record.ids, record.num_prompt_ids) == ((*PROMPT, 4, 7, 8), 6)
        assert record.digest == prefix_digest(record.ids)
        assert (record.sampling, record.task) == (sampling, "[]")
        await store.commit("s", 9, commit_of(9, position=6, before=record.ids))
        assert (await loaded(store)).ids == (*PROMPT, 4, 7, 8, 9)

    @pytest.mark.parametrize("keep_position", [0, 2])
    async def test_no_more_ids_are_prompt_than_are_left(self, store, keep_position):
        await store.create(new_session())
        await store.take_over("s", take_over_of(await loaded(store), 2, keep_position=keep_position))
        record = await loaded(store)
        assert (record.ids, record.num_prompt_ids) == (PROMPT[:keep_position], keep_position)

    async def test_a_repeat_changes_nothing_even_after_commits(self, store):
        await store.create(new_session())
        rewind = take_over_of(await loaded(store), 2, 7, keep_position=2)
        await store.take_over("s", rewind)
        await store.take_over("s", rewind)
        await store.commit("s", 2, commit_of(8, position=3, before=(*PROMPT[:2], 7)))
        record = await loaded(store)
        await store.take_over("s", rewind)
        assert await loaded(store) == record

    async def test_the_same_epoch_is_not_given_to_two_orchestrators(self, store):
        await store.create(new_session())
        take_over = take_over_of(await loaded(store), 2)
        await store.take_over("s", take_over)
        with pytest.raises(StaleEpochError):
            await store.take_over("s", replace(take_over, orchestrator="orchestrator-2"))

    async def test_of_two_that_read_the_same_record_one_gets_the_session(self, store):
        for number in range(20):
            session_id = f"race-{number}"
            await store.create(new_session(session_id))
            record = await loaded(store, session_id)
            epochs = [store.next_epoch(record.epoch) for _ in range(2)]
            outcomes = await asyncio.gather(
                *(store.take_over(session_id, take_over_of(record, epoch)) for epoch in epochs),
                return_exceptions=True,
            )
            winner = outcomes.index(None)
            assert isinstance(outcomes[1 - winner], StaleEpochError)
            assert (await loaded(store, session_id)).epoch == epochs[winner]

    async def test_a_session_that_went_on_since_it_was_read_must_be_read_again(self, store):
        await store.create(new_session())
        read = await loaded(store)
        await store.commit("s", 1, commit_of(4, position=3))
        before = await loaded(store)
        with pytest.raises(SessionMovedError) as caught:
            await store.take_over("s", take_over_of(read, 2))
        assert caught.value.facts["known_position"] == 4
        assert await loaded(store) == before

    async def test_what_redis_has_lost_is_not_taken_over(self, store, client):
        await store.create(new_session())
        await store.commit("s", 1, commit_of(4, position=3))
        read = await loaded(store)
        for lost in (replace(read, ids=(*read.ids, 5)), replace(read, epoch=2)):
            with pytest.raises(SessionLostError):
                await store.take_over("s", take_over_of(lost, 9))
        await client.flushall()
        with pytest.raises(SessionLostError):
            await store.take_over("s", take_over_of(read, 9))

    async def test_an_epoch_is_higher_than_all_known_ones_by_a_random_step(self, redis):
        async with SessionStore.connect(StoreSettings(redis.url, max_epoch_step=4)) as store:
            assert {store.next_epoch(3, 7) for _ in range(200)} == {8, 9, 10, 11}


class TestRenewal:
    async def test_a_renewal_extends_lease_and_lifetime_and_is_no_change(self, store, client):
        await store.create(new_session())
        before = await loaded(store)
        await client.hset("paceline:{s}:state", "lease_deadline_ms", "1")
        for key in await client.keys():
            await client.expire(key, 7)
        await store.renew("s", 1)
        record = await loaded(store)
        assert record.lease_deadline_ms >= before.lease_deadline_ms
        assert replace(record, lease_deadline_ms=0) == replace(before, lease_deadline_ms=0)
        for key in await client.keys():
            assert await client.ttl(key) > 3000

    async def test_renewing_many_tells_which_are_lost(self, store, client):
        names = [f"session-{number}" for number in range(300)]  # more than are sent at once
        for name in names:
            await store.create(new_session(name))
        await store.take_over("session-7", take_over_of(await loaded(store, "session-7"), 5))
        await store.cancel("session-299")
        await store.finish("session-8", 1, SessionStatus.SUSPENDED)
        await client.delete("paceline:{session-9}:ids")
        await client.script_flush()
        lost = await store.renew_all([(name, 1) for name in names])
        assert {name: type(error) for name, error in lost.items()} == {
            "session-7": StaleEpochError,
            "session-299": SessionCancelledError,
        }
        assert (await loaded(store, "session-8")).lease_deadline_ms == 0
        assert await store.renew_all([]) == {}


class TestRestoring:
    async def test_a_record_that_is_gone_is_there_again(self, store, client):
        await store.create(new_session())
        await store.commit("s", 1, commit_of(4, position=3))
        record = await loaded(store)
        await client.flushall()
        await store.restore(record)
        await store.restore(record)
        restored = await loaded(store)
        times = {"lease_deadline_ms": 0, "updated_ms": 0}
        assert replace(restored, **times) == replace(record, **times)
        assert restored.lease_deadline_ms >= record.lease_deadline_ms
        await store.commit("s", 1, commit_of(5, position=4, before=record.ids))

    @pytest.mark.parametrize("key", ["ids", "state"])
    async def test_half_a_session_is_none_until_it_is_put_back(self, store, client, key):
        await store.create(new_session())
        record = await loaded(store)
        await client.delete(f"paceline:{{s}}:{key}")
        assert await store.load("s") is None
        with pytest.raises(SessionLostError):
            await store.commit("s", 1, commit_of(4, position=3))
        await store.restore(record)
        await store.commit("s", 1, commit_of(4, position=3))
        assert (await loaded(store)).ids == (*PROMPT, 4)

    async def test_a_lower_epoch_is_replaced_and_a_higher_one_is_not(self, store):
        await store.create(new_session())
        await store.commit("s", 1, commit_of(4, position=3))
        record = await loaded(store)
        await store.restore(replace(record, epoch=5, ids=PROMPT))
        assert ((await loaded(store)).epoch, (await loaded(store)).ids) == (5, PROMPT)
        before = await loaded(store)
        with pytest.raises(StaleEpochError):
            await store.restore(replace(record, epoch=4))
        assert await loaded(store) == before

    async def test_lost_commits_come_back_and_later_ones_stay(self, store):
        await store.create(new_session())
        short = await loaded(store)
        await store.restore(replace(short, ids=(*PROMPT, 4, 5)))
        assert (await loaded(store)).ids == (*PROMPT, 4, 5)
        await store.restore(short)  # a late duplicate
        assert (await loaded(store)).ids == (*PROMPT, 4, 5)
        with pytest.raises(SessionMovedError):
            await store.restore(replace(short, ids=(*PROMPT, 9)))

    async def test_an_end_that_was_lost_comes_back_and_is_not_undone(self, store):
        await store.create(new_session())
        running = await loaded(store)
        await store.restore(replace(running, status=SessionStatus.FINISHED))
        assert (await loaded(store)).status is SessionStatus.FINISHED
        await store.restore(running)
        record = await loaded(store)
        assert (record.status, record.lease_deadline_ms) == (SessionStatus.FINISHED, 0)


class TestOperators:
    @pytest.mark.parametrize("status", [SessionStatus.RUNNING, SessionStatus.SUSPENDED])
    async def test_a_cancelled_session_is_refused_to_everyone(self, store, status):
        await store.create(new_session())
        await store.finish("s", 1, status) if status is not SessionStatus.RUNNING else None
        record = await loaded(store)
        cancelled = await store.cancel("s")
        assert cancelled is not None
        assert (cancelled.status, cancelled.lease_seconds) == (SessionStatus.CANCELLED, None)
        assert cancelled.epoch > 1
        for call in (
            store.commit("s", 1, commit_of(4, position=3)),
            store.finish("s", 1, SessionStatus.SUSPENDED),
            store.renew("s", 1),
            store.take_over("s", take_over_of(record, 70_000)),
            store.take_over("s", take_over_of(await loaded(store), 70_000)),
            store.restore(replace(record, epoch=70_000)),
        ):
            with pytest.raises(SessionCancelledError):
                await call
        again = await store.cancel("s")
        assert again is not None
        assert again.epoch == cancelled.epoch

    @pytest.mark.parametrize("status", [SessionStatus.FINISHED, SessionStatus.FAILED])
    async def test_what_has_ended_is_not_cancelled(self, store, status):
        await store.create(new_session())
        await store.finish("s", 1, status)
        before = await loaded(store)
        cancelled = await store.cancel("s")
        assert cancelled is not None
        assert cancelled.status is status
        assert await loaded(store) == before
        assert await store.cancel("another") is None

    async def test_an_overview_has_times_by_the_servers_clock(self, store, client):
        await store.create(new_session(orchestrator="orchestrator-0"))
        await client.hset("paceline:{s}:state", "lease_deadline_ms", "1")
        overview = await store.overview("s")
        assert overview is not None
        assert (overview.session_id, overview.model, overview.epoch) == ("s", "tiny", 1)
        assert (overview.position, overview.num_prompt_ids) == (3, 3)
        assert (overview.owners, overview.orchestrator) == (OWNERS, "orchestrator-0")
        assert overview.digest == prefix_digest(PROMPT)
        assert '"top_k":40' in overview.sampling_json
        assert overview.lease_seconds is not None
        assert overview.lease_seconds < 0
        assert 0 <= overview.idle_seconds < 60
        assert 3500 < overview.ttl_seconds <= 3600
        assert await store.overview("another") is None

    async def test_a_listing_has_the_latest_change_first(self, store, client):
        for number in range(7):
            await store.create(new_session(f"session-{number}"))
            await client.hset(f"paceline:{{session-{number}}}:state", "updated_ms", str(number * 1000))
        await store.finish("session-2", 1, SessionStatus.SUSPENDED)
        listing = await store.list_sessions(None, 3)
        assert [one.session_id for one in listing.sessions] == ["session-2", "session-6", "session-5"]
        assert listing.num_found == 7
        suspended = await store.list_sessions(SessionStatus.SUSPENDED, 3)
        assert [one.session_id for one in suspended.sessions] == ["session-2"]
        assert suspended.num_found == 1

    async def test_a_listing_of_many_sessions_names_each_once(self, store):
        names = {f"session-{number}" for number in range(1200)}
        for name in names:
            await store.create(new_session(name))
        listing = await store.list_sessions(SessionStatus.RUNNING, 2000)
        assert {one.session_id for one in listing.sessions} == names
        assert (len(listing.sessions), listing.num_found) == (1200, 1200)

    async def test_stores_with_other_prefixes_do_not_see_each_other(self, redis, store):
        await store.create(new_session())
        async with SessionStore.connect(StoreSettings(redis.url, prefix="pace*")) as other:
            assert (await other.list_sessions(None, 9)).num_found == 0
            await other.create(new_session("[t]"))
            assert [one.session_id for one in (await other.list_sessions(None, 9)).sessions] == ["[t]"]
            assert await other.token_key() != await store.token_key()


class TestKeys:
    async def test_every_key_of_a_session_is_in_one_slot_and_lives_as_long(self, store, client):
        await store.create(new_session())
        await store.commit("s", 1, commit_of(4, position=3))
        keys = await client.keys("*")
        assert sorted(keys) == [b"paceline:{s}:ids", b"paceline:{s}:state"]
        for key in keys:
            assert 3590 < await client.ttl(key) <= 3600

    async def test_all_orchestrators_share_one_token_key_which_stays(self, store, client):
        keys = await asyncio.gather(*(store.token_key() for _ in range(8)))
        assert len(set(keys)) == 1
        assert len(keys[0]) == 32
        assert await client.ttl("paceline:token_key") == -1

    async def test_a_token_key_that_redis_has_lost_is_put_back_by_who_has_it(self, store, client):
        key = await store.token_key()
        await client.flushall()
        assert await store.token_key(key) == key
        assert await store.token_key() == key

    async def test_a_server_that_has_lost_its_scripts_gets_them_again(self, store, client):
        await store.create(new_session())
        await client.script_flush()
        await store.commit("s", 1, commit_of(4, position=3))
        assert (await loaded(store)).ids == (*PROMPT, 4)

    async def test_a_server_that_is_gone_is_a_clean_error_in_bounded_time(self, redis: Server, store):
        await store.create(new_session())
        await redis.process.stop(5)
        async with asyncio.timeout(10):
            for call in (
                store.ping(),
                store.load("s"),
                store.commit("s", 1, commit_of(4, position=3)),
                store.renew_all([("s", 1)]),
                store.list_sessions(None, 1),
                store.token_key(),
            ):
                with pytest.raises(SessionStoreUnavailableError):
                    await call
