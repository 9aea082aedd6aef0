"""Clients that go on asking while something happens to the cluster."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from paceline.client.resuming import connect_to_all
from tests.chaos.job import Job
from tests.chaos.record import Record
from tests.chaos.run import LAST_JOBS_SECONDS, ask
from tests.chaos.shipped_client import ShippedClient, Wait


@asynccontextmanager
async def load(
    addresses: Sequence[str], answered: Sequence[Job], record: Record, num_clients: int, seed: int = 1
) -> AsyncIterator[list[Wait]]:
    """Have shipped clients get one job after the other answered inside the block, each at an address of its own.

    At its end everyone gets the last answer. The list has every wait for an event so far.
    """
    assert num_clients <= len(addresses)
    is_over = asyncio.Event()
    waits: list[Wait] = []
    async with AsyncExitStack() as stack:
        clients = [
            ShippedClient(await stack.enter_async_context(connect_to_all([address])), record, waits.append)
            for address in addresses[:num_clients]
        ]
        asking = [
            asyncio.create_task(ask(client, answered, random.Random(f"{seed} {number}"), is_over))
            for number, client in enumerate(clients)
        ]
        try:
            yield waits
            is_over.set()
            async with asyncio.timeout(LAST_JOBS_SECONDS):
                await asyncio.gather(*asking)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
