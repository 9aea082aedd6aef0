"""Releases on their way to a replica."""

import asyncio
from collections.abc import Sequence

from orchestrator.release_line import ReleaseLine
from orchestrator.replica_client import SessionRelease

FIRST, SECOND, THIRD = (SessionRelease(name, 1) for name in ("first", "second", "third"))


class Replica:
    """Takes releases one call at a time, when the test lets it."""

    def __init__(self) -> None:
        self.calls: list[list[SessionRelease]] = []
        self.goes_on = asyncio.Event()

    async def take(self, releases: Sequence[SessionRelease]) -> None:
        self.calls.append(list(releases))
        await self.goes_on.wait()


async def test_what_gathers_while_one_call_is_on_its_way_goes_with_the_next() -> None:
    replica = Replica()
    line = ReleaseLine("replica:1", replica.take)
    line.add(FIRST)
    await asyncio.sleep(0)
    line.add(SECOND)
    line.add(THIRD)
    replica.goes_on.set()
    await line.drain()
    assert replica.calls == [[FIRST], [SECOND, THIRD]]


async def test_a_line_that_is_drained_sends_what_it_has_and_nothing_that_comes_later() -> None:
    replica = Replica()
    line = ReleaseLine("replica:1", replica.take)
    line.add(FIRST)
    draining = asyncio.ensure_future(line.drain())
    await asyncio.sleep(0)
    line.add(SECOND)
    replica.goes_on.set()
    await draining
    line.add(THIRD)
    await asyncio.sleep(0)
    assert replica.calls == [[FIRST]]
