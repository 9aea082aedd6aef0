"""The client that the project ships, on a host of its own: `python -m tests.hosts.client_process`.

It generates what lines of its input ask for, and prints every event that its caller would get.
"""

import asyncio
import sys
from contextlib import aclosing

from paceline.client.errors import CallFailedError, StreamGapError
from paceline.client.generation import GenerationRequest
from paceline.client.resuming import ResumingOrchestrator, connect_to_all
from tests.chaos.network_process import standard_input
from tests.hosts.exchange import Asked, Told, read_asked, write_told


async def serve() -> None:
    """Generate until the input ends."""
    commands = await standard_input()
    async with asyncio.TaskGroup() as running:
        while line := await commands.readline():
            running.create_task(generate_all(read_asked(line)))


async def generate_all(asked: Asked) -> None:
    async with connect_to_all(asked.addresses) as orchestrators, asyncio.TaskGroup() as running:
        for name, request in asked.requests.items():
            running.create_task(generate(orchestrators, name, request))


async def generate(orchestrators: ResumingOrchestrator, name: str, request: GenerationRequest) -> None:
    try:
        async with aclosing(orchestrators.generate(request)) as events:
            async for event in events:
                tell(Told(name, event))
    except (CallFailedError, StreamGapError) as error:
        tell(Told(name, failure=str(error)))


def tell(told: Told) -> None:
    sys.stdout.buffer.write(write_told(told))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(serve())
