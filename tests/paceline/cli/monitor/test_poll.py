"""Asking several orchestrators, whatever they answer."""

import asyncio

import grpc.aio

from paceline.cli.monitor.poll import connect_to_orchestrators
from tests.paceline.cli.monitor.orchestrator_fake import FakeOrchestrator, serving


async def test_sessions_of_one_redis_are_shown_once() -> None:
    async with (
        serving(FakeOrchestrator("a", "s-1", "s-2")) as first,
        serving(FakeOrchestrator("b", "s-2", "s-3")) as second,
        connect_to_orchestrators([first, second], 1.0) as orchestrators,
    ):
        poll = await orchestrators.poll()
    assert [one.orchestrator for one in poll.statuses] == ["a", "b"]
    assert poll.listing is not None
    assert {one.session_id for one in poll.listing.sessions} == {"s-1", "s-2", "s-3"}
    assert poll.listing.num_found == 3


async def test_sessions_are_listed_again_only_when_that_costs_little() -> None:
    fake = FakeOrchestrator("a", "s-1")
    async with serving(fake) as address, connect_to_orchestrators([address], 1.0) as orchestrators:
        polls = [await orchestrators.poll() for _ in range(3)]
        assert fake.num_listings == 1
        assert polls[2].listing is polls[0].listing

        async with asyncio.timeout(30):
            while (await orchestrators.poll()).listing is polls[0].listing:
                pass
        assert fake.num_listings == 2


async def test_sessions_are_not_asked_for_where_redis_does_not_answer() -> None:
    fake = FakeOrchestrator("a", redis_seconds=None)
    async with serving(fake) as address, connect_to_orchestrators([address], 1.0) as orchestrators:
        poll = await orchestrators.poll()
    assert (poll.listing, fake.num_listings) == (None, 0)


async def test_one_that_hangs_does_not_keep_the_others_back_for_long() -> None:
    hanging = FakeOrchestrator("hanging")
    hanging.answers.clear()
    async with (
        serving(hanging) as first,
        serving(FakeOrchestrator("well")) as second,
        connect_to_orchestrators([first, second], 0.2) as orchestrators,
    ):
        async with asyncio.timeout(10):
            poll = await orchestrators.poll()
        assert [one.problem for one in poll.answers] == ["it does not answer in time", ""]
        hanging.answers.set()
        assert len((await orchestrators.poll()).statuses) == 2


async def test_a_service_without_a_status_is_named_as_such() -> None:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with connect_to_orchestrators([f"127.0.0.1:{port}"], 1.0) as orchestrators:
        poll = await orchestrators.poll()
    await server.stop(None)
    assert poll.answers[0].problem == "it tells no status: no orchestrator, or an older version"
