"""An orchestrator inside the test: real servicer and sockets, real Redis, scripted replicas."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator.closings import Closings
from orchestrator.config import OrchestratorConfig
from orchestrator.generation import Surroundings
from orchestrator.orchestration import Orchestration
from orchestrator.pool import DraftPool, TargetPool
from orchestrator.program import (
    guards_of,
    orchestrator_service,
    pools,
    session_service,
    share_key,
    status_service,
    store_settings,
    surround,
    upkeep,
)
from orchestrator.server import PatientServer
from orchestrator.servicer import OrchestratorServicer
from orchestrator.session_record import SessionRecord
from orchestrator.session_store import SessionStore
from paceline.client.connection import PLAIN_TEXT, ConnectionSettings
from paceline.client.errors import CallFailedError
from paceline.client.generation import (
    GenerationEvent,
    GenerationRequest,
    PromptIds,
    Speculation,
    SpeculationMode,
)
from paceline.client.orchestrator import Orchestrator, connect
from tests.orchestrator.byte_tokenizer import byte_tokenizer
from tests.orchestrator.scripted_replicas import ScriptedDraft, ScriptedReplica, ScriptedTarget, serving

TOKENIZER = byte_tokenizer()
OFF = Speculation(SpeculationMode.OFF)


@dataclass
class Rig:
    """A running orchestrator and what is around it."""

    client: Orchestrator
    address: str
    store: SessionStore
    server: PatientServer
    draining: asyncio.Event
    target_pool: TargetPool
    draft_pool: DraftPool
    targets: list[ScriptedReplica]
    drafts: list[ScriptedReplica]
    surroundings: Surroundings
    orchestration: Orchestration

    async def stored(self, session_id: str) -> SessionRecord:
        record = await self.store.load(session_id)
        assert record is not None
        return record


def target(number: int = 0, **settings) -> ScriptedTarget:
    return ScriptedTarget(ScriptedReplica(f"target-{number}", TOKENIZER.vocabulary_hash, **settings))


def draft(number: int = 0, **settings) -> ScriptedDraft:
    return ScriptedDraft(ScriptedReplica(f"draft-{number}", TOKENIZER.vocabulary_hash, **settings))


def ids_request(prompt_ids: Sequence[int], max_tokens: int, **fields) -> GenerationRequest:
    return GenerationRequest(PromptIds(tuple(prompt_ids)), max_tokens=max_tokens, **fields)


def fixed(num_draft_tokens: int) -> Speculation:
    return Speculation(SpeculationMode.FIXED, num_draft_tokens)


@asynccontextmanager
async def orchestrating(
    redis_url: str,
    services: Sequence[ScriptedTarget | ScriptedDraft],
    connection: ConnectionSettings = PLAIN_TEXT,
    /,
    **settings,
) -> AsyncIterator[Rig]:
    """Serve the replicas and an orchestrator in front of them; `settings` are options of the orchestrator."""
    async with serving(*services), AsyncExitStack() as stack:
        targets = [one.replica for one in services if isinstance(one, ScriptedTarget)]
        drafts = [one.replica for one in services if isinstance(one, ScriptedDraft)]
        config = config_for(redis_url, targets, drafts, **settings)
        target_pool, draft_pool = pools(config, TOKENIZER.vocabulary_hash)
        store = await stack.enter_async_context(SessionStore.connect(store_settings(config)))
        await stack.enter_async_context(target_pool.connected())
        await stack.enter_async_context(draft_pool.connected())
        draining, closings = asyncio.Event(), Closings()
        stack.push_async_callback(closings.ended)
        surroundings = surround(config, store, target_pool, draft_pool)
        await share_key(surroundings)
        await stack.enter_async_context(upkeep(surroundings))
        servicer = OrchestratorServicer(surroundings, TOKENIZER, draining, closings)
        services_here = [
            orchestrator_service(servicer),
            session_service(store),
            status_service(surroundings, draining),
        ]
        guards = guards_of(surroundings)
        server = await stack.enter_async_context(
            PatientServer(config, services_here, draining, guards=guards)
        )
        address = f"127.0.0.1:{server.port}"
        client = await stack.enter_async_context(connect(address, connection))
        await until(lambda: len(draft_pool.descriptions) + draft_pool.num_refused >= len(drafts))
        await until(lambda: len(target_pool.descriptions) + target_pool.num_refused >= len(targets))
        pools_here = (target_pool, draft_pool)
        yield Rig(
            client,
            address,
            store,
            server,
            draining,
            *pools_here,
            targets,
            drafts,
            surroundings,
            servicer.orchestration,
        )


def config_for(
    redis_url: str, targets: Sequence[ScriptedReplica], drafts: Sequence[ScriptedReplica], **settings
) -> OrchestratorConfig:
    fields: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "target_addresses": tuple(one.address for one in targets),
        "draft_addresses": tuple(one.address for one in drafts),
        "redis_url": redis_url,
        "model": "unused",
        "speculation": "fixed",
        "redis_timeout_seconds": 0.5,
        "redis_retries": 1,
    }
    return OrchestratorConfig(**(fields | settings))


async def until(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 20.0) -> None:
    """Wait for a condition; fails the test where it does not come true."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            if value if isinstance(value, bool) else await value:
                return
            await asyncio.sleep(0.005)


async def failure_of(events: AsyncIterator[GenerationEvent], seen: list[Any]) -> CallFailedError:
    """Add the events of a generation that fails to `seen`, and return its error."""
    with pytest.raises(CallFailedError) as caught:  # noqa: PT012 - the iteration as a whole is what fails
        async for event in events:
            seen.append(event)  # noqa: PERF401 - what came before the failure must not be lost
    return caught.value
