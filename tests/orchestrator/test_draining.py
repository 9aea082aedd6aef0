"""What becomes of a client whose connection leads to an orchestrator that drains."""

import asyncio
from contextlib import aclosing

from paceline.client.generation import TokenChunk
from paceline.client.resuming import connect_to_all
from paceline.local.listen_address import free_ports
from tests.chaos.virtual_service import VirtualService
from tests.orchestrator.rig import ids_request, orchestrating, target
from tests.orchestrator.scripted_model import continuation
from tests.orchestrator.test_generation import PROMPT


async def test_its_next_call_goes_where_its_service_leads_now_while_what_runs_goes_on(redis):
    (port,) = free_ports(1)
    async with (
        orchestrating(redis.url, [target(0)], handover_seconds=60.0) as old,
        orchestrating(redis.url, [target(1)]) as new,
    ):
        endpoints = [old.address]
        service = VirtualService(lambda: endpoints)
        serving = asyncio.create_task(old.server.serve())
        async with (
            service.listening(["127.0.0.1"], port),
            connect_to_all([f"127.0.0.1:{port}"]) as client,
            aclosing(client.generate(ids_request(PROMPT, 40))) as running,
        ):
            await anext(running)
            old.targets[0].engine_runs.clear()  # so that it is still running when the other one has ended
            endpoints[:] = [new.address]
            old.server.request_stop()
            await old.draining.wait()
            assert len((await client.complete(ids_request(PROMPT, 20))).token_ids) == 20
            assert service.num_connections == 2
            old.targets[0].engine_runs.set()
            chunks = [event async for event in running if isinstance(event, TokenChunk)]
        await serving
    assert [token.id for chunk in chunks for token in chunk.tokens] == continuation(PROMPT, 40)
