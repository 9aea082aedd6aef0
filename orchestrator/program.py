"""The orchestrator from start to end."""

import asyncio
from functools import partial
from pathlib import Path

import structlog

from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.closings import Closings
from orchestrator.config import OrchestratorConfig
from orchestrator.errors import SessionStoreUnavailableError
from orchestrator.generation import Surroundings
from orchestrator.pool import DraftPool, TargetPool
from orchestrator.replica import ReconnectSettings
from orchestrator.replica_client import DraftClient, TargetClient
from orchestrator.server import PatientServer
from orchestrator.servicer import OrchestratorServicer
from orchestrator.session_store import SessionStore, StoreSettings
from paceline.models.prepared import find_prepared
from paceline.models.tokenizer import Tokenizer
from paceline.serving.config import prepared_directory
from paceline.serving.server import Service
from paceline.v1 import orchestrator_service_pb2, orchestrator_service_pb2_grpc

_REDIS_POLL_SECONDS = 0.5

_log = structlog.get_logger()


async def serve(config: OrchestratorConfig) -> None:
    """Listen, wait for Redis and a target, serve until SIGTERM or SIGINT, drain."""
    tokenizer = await asyncio.to_thread(Tokenizer.load, _model_directory(config))
    targets, drafts = pools(config, tokenizer.vocabulary_hash)
    draining, closings = asyncio.Event(), Closings()
    async with SessionStore.connect(store_settings(config)) as store:
        surroundings = Surroundings(config, store, targets, drafts)
        servicer = OrchestratorServicer(surroundings, tokenizer, draining, closings)
        async with targets.connected(), drafts.connected():
            async with PatientServer(config, [orchestrator_service(servicer)], draining) as server:
                await server.serve_after(_dependencies(surroundings))
            await closings.ended()


def orchestrator_service(servicer: OrchestratorServicer) -> Service:
    """Return OrchestratorService with a servicer."""
    return Service(
        orchestrator_service_pb2.DESCRIPTOR.services_by_name["OrchestratorService"].full_name,
        partial(orchestrator_service_pb2_grpc.add_OrchestratorServiceServicer_to_server, servicer),
    )


def pools(config: OrchestratorConfig, vocabulary_sha256: str) -> tuple[TargetPool, DraftPool]:
    """Return the two pools of a configuration, not yet connected."""
    make_breaker = partial(CircuitBreaker, config.draft_cool_down_seconds, config.max_draft_cool_down_seconds)
    reconnect = ReconnectSettings()
    return (
        TargetPool(config.target_addresses, TargetClient, vocabulary_sha256, make_breaker, reconnect),
        DraftPool(config.draft_addresses, DraftClient, vocabulary_sha256, make_breaker, reconnect),
    )


def store_settings(config: OrchestratorConfig) -> StoreSettings:
    """Return how a configuration reaches Redis."""
    return StoreSettings(
        config.redis_url,
        config.prefix,
        config.session_ttl_seconds,
        config.lease_seconds,
        config.redis_timeout_seconds,
        config.redis_retries,
    )


def _model_directory(config: OrchestratorConfig) -> Path:
    return prepared_directory(config.model) or find_prepared(config.model, config.weights)


async def _dependencies(surroundings: Surroundings) -> None:
    """Wait until Redis answers and a target is ready."""
    await surroundings.targets.wait_for_one()
    while True:
        try:
            return await surroundings.store.ping()
        except SessionStoreUnavailableError as error:
            _log.warning("waiting_for_redis", message=error.message)
        await asyncio.sleep(_REDIS_POLL_SECONDS)
