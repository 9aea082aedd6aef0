"""The store at real servers in every way in which Redis can be deployed."""

import asyncio
from pathlib import Path

import pytest
from redis.crc import key_slot

from orchestrator.errors import SessionStoreUnavailableError
from orchestrator.quota_store import Usage
from orchestrator.session_store import SessionStore, StoreSettings
from orchestrator.tenant import Quotas
from paceline.client.session_status import SessionStatus
from tests.orchestrator.redis_servers import (
    HOST,
    PROGRAMS,
    SERVICE,
    Server,
    certificates,
    cluster,
    program_of,
    server,
    tls_in_front_of,
    until,
    watched,
)
from tests.orchestrator.session_cases import PROMPT, commit_of, loaded, new_session, take_over_of

PASSWORD = "s3cret/?#@:"
QUOTED = "s3cret%2F%3F%23%40%3A"


@pytest.fixture(params=PROGRAMS)
def program(request) -> Path:
    return program_of(request.param)


def connected(url: str, **settings):
    return SessionStore.connect(StoreSettings(url, timeout_seconds=1, num_retries=1, **settings))


async def assert_serves_sessions(store: SessionStore, session_id: str = "s") -> None:
    """One of each command of the script."""
    await store.create(new_session(session_id))
    await store.commit(session_id, 1, commit_of(4, position=3))
    epoch = store.next_epoch(1)
    await store.take_over(session_id, take_over_of(await loaded(store, session_id), epoch, 5, 6))
    assert await store.renew_all([(session_id, epoch), (session_id, 1)]) != {}
    await store.restore(await loaded(store, session_id))
    await store.finish(session_id, epoch, SessionStatus.SUSPENDED)
    cancelled = await store.cancel(session_id)
    assert cancelled is not None
    assert cancelled.status is SessionStatus.CANCELLED
    assert (await loaded(store, session_id)).ids == (*PROMPT, 4, 5, 6)
    quotas = Quotas(max_sessions=1, requests_per_minute=2, tokens_per_minute=9)
    assert await store.quotas.admit(session_id, quotas, Usage(), ["a"]) is None
    await store.quotas.settle(session_id, Usage(0, 9, ("a",)), ["b"])
    used_up = await store.quotas.admit(session_id, quotas, Usage(), ["c"])
    assert used_up is not None
    assert used_up.quota == "tokens_per_minute"


# As docs/redis.md names them.
RIGHTS = ("~paceline:*", "+@connection", "+@scripting", "+@read", "+@write", "+time", "+scan")
RIGHTS_IN_A_CLUSTER = (*RIGHTS, "+cluster|slots", "+cluster|shards", "+command")


async def add_user(one: Server, *rights: str) -> None:
    async with one.client() as client:
        await client.execute_command("ACL", "SETUSER", "ann", "on", f">{PASSWORD}", *rights)


async def test_a_server_with_a_password(program):
    async with server(program, password=PASSWORD) as one:
        async with connected(f"redis://:{QUOTED}@{HOST}:{one.port}") as store:
            await assert_serves_sessions(store)
        async with connected(f"redis://:hush@{HOST}:{one.port}") as store:
            with pytest.raises(SessionStoreUnavailableError) as caught:
                await store.load("s")
            assert "hush" not in str(caught.value)


async def test_a_user_with_the_rights_that_the_docs_name(program):
    async with server(program) as one:
        await add_user(one, *RIGHTS)
        async with connected(f"redis://ann:{QUOTED}@{HOST}:{one.port}") as store:
            await assert_serves_sessions(store)
            assert (await store.list_sessions(None, 10)).num_found == 1
            assert len(await store.token_key()) == 32


async def test_tls_with_a_certificate_of_our_own_authority(program, tmp_path):
    made = certificates(tmp_path)
    async with server(program) as one, tls_in_front_of(one.port, made, asks_clients=False) as port:
        url = f"rediss://{HOST}:{port}"
        async with connected(f"{url}?ssl_ca_certs={made.authority}") as store:
            await assert_serves_sessions(store)
        for untrusting in (url, f"{url}?ssl_ca_certs={made.stranger}"):
            async with connected(untrusting) as store:
                with pytest.raises(SessionStoreUnavailableError):
                    await store.ping()


async def test_tls_with_a_clients_certificate(program, tmp_path):
    made = certificates(tmp_path)
    async with server(program) as one, tls_in_front_of(one.port, made, asks_clients=True) as port:
        url = f"rediss://{HOST}:{port}?ssl_ca_certs={made.authority}"
        async with connected(f"{url}&ssl_certfile={made.certificate}&ssl_keyfile={made.key}") as store:
            await assert_serves_sessions(store)
        async with connected(url) as store:
            with pytest.raises(SessionStoreUnavailableError):
                await store.ping()


async def test_sentinels_lead_to_the_new_master_when_the_old_one_is_gone(program):
    async with watched(program, PASSWORD) as servers:
        sentinels = f"{HOST}:1,{HOST}:{servers.sentinel.port}"  # nobody listens at the first
        async with connected(f"redis+sentinel://:{QUOTED}@{sentinels}/{SERVICE}") as store:
            await assert_serves_sessions(store, "before")
            await store.create(new_session())
            await servers.wait_for_replica()
            servers.master.process.kill()

            errors: list[SessionStoreUnavailableError] = []

            async def commits() -> bool:
                try:
                    await store.commit("s", 1, commit_of(4, position=3))
                except SessionStoreUnavailableError as error:
                    errors.append(error)
                    return False
                return True

            await until(commits)
            assert not any("s3cret" in str(error) for error in errors)
            assert (await loaded(store)).ids == (*PROMPT, 4)
        async with servers.replica.client() as client:
            assert await client.exists("paceline:{s}:state") == 1


async def test_a_cluster_keeps_each_session_on_one_node(program):
    names = [f"session-{number}" for number in range(12)]
    async with cluster(program) as nodes:
        async with connected(f"redis+cluster://{HOST}:{nodes[0].port},{HOST}:1") as store:
            await store.ping()  # as the orchestrator does before it serves
            await asyncio.gather(*(assert_serves_sessions(store, name) for name in names))
            listing = await store.list_sessions(SessionStatus.CANCELLED, 5)
            assert (listing.num_found, len(listing.sessions)) == (12, 5)
            key = await store.token_key()
        for node in nodes:
            await add_user(node, *RIGHTS_IN_A_CLUSTER)
        async with connected(f"redis+cluster://ann:{QUOTED}@{HOST}:{nodes[2].port}") as store:
            assert await store.token_key() == key
            await assert_serves_sessions(store, "of-ann")
            names.append("of-ann")
            assert {one.session_id for one in (await store.list_sessions(None, 99)).sessions} == set(names)
        for name in names:
            assert key_slot(f"paceline:{{{name}}}:ids".encode()) == key_slot(
                f"paceline:{{{name}}}:state".encode()
            )
        for node in nodes:
            async with node.client() as client:
                assert await client.dbsize() > 0


async def test_a_cluster_without_one_of_its_nodes_is_a_clean_error_in_bounded_time(program):
    async with cluster(program) as nodes, connected(f"redis+cluster://{HOST}:{nodes[0].port}") as store:
        names = [f"session-{number}" for number in range(12)]
        for name in names:
            await store.create(new_session(name))
        nodes[2].process.kill()
        async with asyncio.timeout(60):
            outcomes = await asyncio.gather(
                *(store.commit(name, 1, commit_of(4, position=3)) for name in names), return_exceptions=True
            )
        assert all(
            outcome is None or isinstance(outcome, SessionStoreUnavailableError) for outcome in outcomes
        )
        assert any(outcome is not None for outcome in outcomes)


async def test_a_connection_that_hangs_is_given_up(program):
    async with server(program) as one, connected(one.url) as store:
        await store.create(new_session())
        async with one.client() as client:
            await client.client_pause(60_000)
        async with asyncio.timeout(30):
            with pytest.raises(SessionStoreUnavailableError):
                await store.load("s")
