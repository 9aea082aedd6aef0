import asyncio

import pytest

from benchmarks.simulation.distance import delayed

SECONDS = 0.02


async def test_items_are_on_their_way_together_and_arrive_in_order():
    log: list[str] = []

    async def source():
        for item in "abc":
            log.append(f"sent {item}")
            yield item

    async for item in delayed(source(), SECONDS):
        log += [f"got {item}"]
    assert log == ["sent a", "sent b", "sent c", "got a", "got b", "got c"]


async def test_a_failure_arrives_behind_what_was_sent_before():
    async def source():
        yield "a"
        raise ConnectionError("broken")

    items = delayed(source(), SECONDS)
    assert await anext(items) == "a"
    with pytest.raises(ConnectionError):
        await anext(items)


async def test_who_stops_listening_ends_the_source():
    is_ended = asyncio.Event()

    async def source():
        try:
            yield "a"
            await asyncio.Event().wait()
        finally:
            is_ended.set()

    items = delayed(source(), 0.0)
    assert await anext(items) == "a"
    await items.aclose()
    assert is_ended.is_set()
