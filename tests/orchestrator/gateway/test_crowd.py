"""Many clients at once, some of whom read nothing or vanish: memory is bounded, and the others get all their text."""

import asyncio
import json

import pytest

from tests.orchestrator.gateway.gateway_rig import HttpRig, serving_http
from tests.orchestrator.gateway.raw_client import RawClient, connected
from tests.orchestrator.rig import draft, target, until
from tests.orchestrator.scripted_model import continuation
from tests.orchestrator.tenant_rig import counted

NUM_TOKENS = 60
ENDLESS = 4000
# The bound of the protocol, and one more chunk.
MAX_BUFFERED_BYTES = 48 << 10


async def read_all(rig: HttpRig, number: int) -> list[int]:
    """The ids that a client gets who reads."""
    ids: list[int] = []
    async with rig.http.stream("POST", "/v1/completions", json=wish(number, NUM_TOKENS)) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                ids += [token["id"] for token in json.loads(line[6:])["paceline"].get("tokens", ())]
    return ids


async def vanish(rig: HttpRig, number: int) -> None:
    """Ask for much, and go when it has begun."""
    async with connected(rig) as client:
        await client.send("/v1/completions", wish(number, ENDLESS))
        await client.head()
        client.vanish()


async def read_nothing(rig: HttpRig, number: int, is_over: asyncio.Event) -> None:
    """Ask for much, read none of it, and stay."""
    async with connected(rig) as client:
        await client.send("/v1/completions", wish(number, ENDLESS))
        await client.head()
        stop_reading(client)
        await is_over.wait()


def stop_reading(client: RawClient) -> None:
    client.writer.transport.pause_reading()  # pyright: ignore[reportAttributeAccessIssue], of a socket's transport


def wish(number: int, max_tokens: int) -> dict:
    details = {"paceline": {"include_tokens": True, "speculation": {"mode": "off"}}}
    return {"prompt": prompt_ids(number), "max_tokens": max_tokens, "stream": True, **details}


def prompt_ids(number: int) -> list[int]:
    return [1 + number // 256, number % 256]


async def crowd(rig: HttpRig, num_readers: int, num_slow: int, num_vanishing: int) -> None:
    is_over, metrics = asyncio.Event(), rig.rig.surroundings.watch.metrics
    numbers = iter(range(num_readers + num_slow + num_vanishing))
    slow = [asyncio.create_task(read_nothing(rig, next(numbers), is_over)) for _ in range(num_slow)]
    gone = [asyncio.create_task(vanish(rig, next(numbers))) for _ in range(num_vanishing)]
    texts = {number: asyncio.create_task(read_all(rig, number)) for number in numbers}
    watching = asyncio.create_task(largest_buffer(rig, is_over))
    try:
        for number, text in texts.items():
            assert await text == continuation(prompt_ids(number), NUM_TOKENS)
        await asyncio.gather(*gone)
        # The slow ones are stopped by what they do not read, then dropped, and all is as if nobody had been there.
        await until(lambda: num_dropped(rig) == num_slow, 300)
        await until(lambda: metrics.num_running == 0)
        # A session that has come to its end may be continued, and keeps its cache.
        await until(lambda: len(rig.rig.targets[0].caches) == num_readers)
    finally:
        is_over.set()
        await asyncio.gather(*slow, return_exceptions=True)
    assert 0 < await watching < MAX_BUFFERED_BYTES
    # What a slow one does not read is not even generated, beyond what the kernel keeps for it.
    num_generated = counted(rig.rig, "paceline.tenant_tokens")["", "generated"]
    assert num_generated < num_readers * NUM_TOKENS + (num_slow + num_vanishing) * ENDLESS / 2
    assert rig.server.num_connections <= num_readers


async def largest_buffer(rig: HttpRig, is_over: asyncio.Event) -> int:
    """The most bytes that one connection has had waiting in this process."""
    most = 0
    while not is_over.is_set():
        waiting = (
            one.transport.get_write_buffer_size() for one in rig.server._server.server_state.connections
        )
        most = max(most, *waiting, 0, 0)
        await asyncio.sleep(0.01)
    return most


def num_dropped(rig: HttpRig) -> float:
    return counted(rig.rig, "paceline.http.dropped_connections")["SLOW_READER",]


async def test_a_few_who_do_not_read_or_vanish_harm_nobody(redis):
    async with serving_http(redis.url, [target(), draft()], http_client_seconds=2.0) as rig:
        await crowd(rig, num_readers=8, num_slow=2, num_vanishing=4)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_twenty_who_do_not_read_and_twenty_who_vanish_harm_none_of_sixty(redis):
    async with serving_http(redis.url, [target(), draft()], http_client_seconds=5.0) as rig:
        await crowd(rig, num_readers=60, num_slow=20, num_vanishing=20)
