"""The loop in a thread of its own, and what is abandoned there."""

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator
from typing import Any

from paceline.client.background_loop import BackgroundLoop


def test_an_iterator_that_is_collected_in_the_thread_of_the_loop_ends_its_generator() -> None:
    loop = BackgroundLoop("test")
    has_ended = threading.Event()

    async def events() -> AsyncGenerator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            has_ended.set()

    async def collect() -> None:
        gc.collect()

    cycle: list[Any] = [loop.iterate(events())]
    cycle.append(cycle)
    assert next(cycle[0]) == 1
    del cycle
    loop.run(collect())
    assert has_ended.wait(timeout=10.0)
    loop.close()
