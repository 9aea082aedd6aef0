"""The orchestrator from start to end."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from orchestrator.api_keys import ApiKeys
from orchestrator.authentication import Authentication
from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.closings import Closings
from orchestrator.config import OrchestratorConfig
from orchestrator.errors import SessionStoreUnavailableError
from orchestrator.generation import Surroundings
from orchestrator.lease_keeper import LeaseKeeper
from orchestrator.pool import Discovery, DraftPool, TargetPool
from orchestrator.quota_keeper import QuotaKeeper
from orchestrator.replica import ReconnectSettings
from orchestrator.replica_client import DraftClient, TargetClient
from orchestrator.replica_liveness import LivenessLimits
from orchestrator.request_watch import OrchestratorWatch
from orchestrator.rollback_token import KEY_BYTES, TokenSigner
from orchestrator.server import PatientServer
from orchestrator.servicer import OrchestratorServicer
from orchestrator.session_servicer import SessionServicer
from orchestrator.session_store import SessionStore, StoreSettings
from orchestrator.status_servicer import StatusServicer
from orchestrator.tenants_file import TenantsFile
from paceline.errors import ConfigError
from paceline.models.served_directory import find_served_directory
from paceline.models.tokenizer import Tokenizer
from paceline.security.certificate_watch import CertificateWatch
from paceline.security.certificates import Role
from paceline.security.loopback import is_loopback
from paceline.security.trust import Trust
from paceline.serving.server import Service
from paceline.telemetry.metrics import Metrics
from paceline.telemetry.setup import Telemetry, telemetry
from paceline.v1 import (
    orchestrator_service_pb2,
    orchestrator_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
    status_service_pb2,
    status_service_pb2_grpc,
)

if TYPE_CHECKING:
    from orchestrator.gateway.generating import Core
    from orchestrator.gateway.server import GatewayServer

_REDIS_POLL_SECONDS = 0.5

_log = structlog.get_logger()


async def serve(config: OrchestratorConfig) -> None:
    """Listen, wait for Redis and a target, serve until SIGTERM or SIGINT, drain."""
    # The target's, whichever engine serves that.
    directory = await asyncio.to_thread(find_served_directory, config.model, config.weights, reads_hub=True)
    tokenizer = await asyncio.to_thread(Tokenizer.load, directory)
    targets, drafts = pools(config, tokenizer.vocabulary_hash)
    draining, closings = asyncio.Event(), Closings()
    with telemetry(config.telemetry) as told:
        async with SessionStore.connect(store_settings(config), told.metrics) as store:
            surroundings = surround(config, store, targets, drafts, told)
            servicer = OrchestratorServicer(surroundings, tokenizer, draining, closings)
            services = [
                orchestrator_service(servicer),
                session_service(store),
                status_service(surroundings, draining),
            ]
            guards = guards_of(surroundings)
            async with targets.connected(), drafts.connected(), upkeep(surroundings):
                async with (
                    PatientServer(config, services, draining, told.metrics, guards) as server,
                    gateway(surroundings, servicer.orchestration, tokenizer, told, draining),
                ):
                    await server.serve_after(_dependencies(surroundings))
                await closings.ended()


def surround(
    config: OrchestratorConfig,
    store: SessionStore,
    targets: TargetPool,
    drafts: DraftPool,
    told: Telemetry | None = None,
) -> Surroundings:
    """Return what generations share; the signer gets its key in `share_key`. Raises ConfigError over the tenants."""
    watch = OrchestratorWatch(told or Telemetry(Metrics()), config.slow_generation_seconds)
    watch.metrics.observe_pools(targets, drafts)
    leases = LeaseKeeper(store, config.lease_seconds, watch.metrics.note_lost_lease)
    name = f"{config.replica_id}-{uuid.uuid4().hex[:8]}"  # a process that starts again is another owner
    quotas = QuotaKeeper(store.quotas, config.lease_seconds)
    tenants = TenantsFile.load(config.tenants_file) if config.tenants_file is not None else None
    return Surroundings(config, store, targets, drafts, leases, TokenSigner(), watch, name, quotas, tenants)


@asynccontextmanager
async def gateway(
    surroundings: Surroundings,
    core: "Core",
    tokenizer: Tokenizer,
    told: Telemetry,
    draining: asyncio.Event,
) -> AsyncIterator["GatewayServer | None"]:
    """Serve HTTP while the block runs, where that is wanted; without it nothing of it is imported."""
    config = surroundings.config
    if config.http_listen is None:
        yield None
        return
    from orchestrator.gateway.app import gateway_app  # noqa: PLC0415
    from orchestrator.gateway.http_watch import HttpWatch  # noqa: PLC0415
    from orchestrator.gateway.server import GatewayServer  # noqa: PLC0415

    watch = HttpWatch(told.metrics, told.tracer, config.slow_generation_seconds)
    app = gateway_app(surroundings, core, tokenizer, told.metrics, draining, watch)
    async with GatewayServer(config, app, watch, draining) as server:
        yield server


def guards_of(surroundings: Surroundings) -> list[Authentication]:
    """Return what stands before all services; without tenants nothing does."""
    if surroundings.tenants is not None:
        return [Authentication(ApiKeys(surroundings.tenants), surroundings.watch.refusals)]
    for address in (surroundings.config.listen, surroundings.config.http_listen):
        if address is not None and not is_loopback(address):
            _log.warning(
                "open_to_everybody", address=address, advice="give --tenants-file; see docs/tenants.md"
            )
    return []


@asynccontextmanager
async def upkeep(surroundings: Surroundings) -> AsyncIterator[None]:
    """Do, for as long as the block runs, what must be done all the time.

    Renew leases, see to it that the key stays that of all orchestrators, and keep quotas and tenants.
    """
    config, tenants = surroundings.config, surroundings.tenants
    chores = [surroundings.leases.run(), _keep_key(surroundings), surroundings.quotas.run()]
    if tenants is not None:
        chores.append(tenants.run(config.tenants_reload_seconds))
    tasks = [asyncio.create_task(chore) for chore in chores]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await surroundings.quotas.settle()


async def _keep_key(surroundings: Surroundings) -> None:
    """Put the key back, until cancelled, where Redis has lost it, or take the one that others have put there."""
    while True:
        await asyncio.sleep(surroundings.config.lease_seconds)
        if surroundings.signer.key is not None and surroundings.config.token_key_file is None:
            try:
                await share_key(surroundings)
            except SessionStoreUnavailableError as error:
                _log.warning("token_key_not_kept", message=error.message)


async def share_key(surroundings: Surroundings) -> None:
    """Give the signer the key of all orchestrators: that of the file, else the one that is kept in Redis.

    Raises ConfigError, or SessionStoreUnavailableError.
    """
    path, signer = surroundings.config.token_key_file, surroundings.signer
    if path is None:
        signer.use(await surroundings.store.token_key(signer.key))
    else:
        signer.use(await asyncio.to_thread(_read_key, path))


def _read_key(path: Path) -> bytes:
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(
            f"--token-key-file {path} cannot be read: {error.strerror}", setting="token_key_file"
        ) from error
    if len(secret) < KEY_BYTES:
        raise ConfigError(
            f"--token-key-file {path} has {len(secret)} bytes and needs at least {KEY_BYTES}; "
            f"make one with `openssl rand -hex {KEY_BYTES}`",
            setting="token_key_file",
        )
    return hashlib.sha256(secret).digest()


def orchestrator_service(servicer: OrchestratorServicer) -> Service:
    """Return OrchestratorService with a servicer."""
    return Service(
        orchestrator_service_pb2.DESCRIPTOR.services_by_name["OrchestratorService"].full_name,
        partial(orchestrator_service_pb2_grpc.add_OrchestratorServiceServicer_to_server, servicer),
    )


def session_service(store: SessionStore) -> Service:
    """Return SessionService over a store."""
    return Service(
        session_service_pb2.DESCRIPTOR.services_by_name["SessionService"].full_name,
        partial(session_service_pb2_grpc.add_SessionServiceServicer_to_server, SessionServicer(store)),
    )


def status_service(surroundings: Surroundings, draining: asyncio.Event) -> Service:
    """Return StatusService of an orchestrator."""
    servicer = StatusServicer(surroundings, draining)
    return Service(
        status_service_pb2.DESCRIPTOR.services_by_name["StatusService"].full_name,
        partial(status_service_pb2_grpc.add_StatusServiceServicer_to_server, servicer),
    )


def pools(config: OrchestratorConfig, vocabulary_sha256: str) -> tuple[TargetPool, DraftPool]:
    """Return the two pools of a configuration, not yet connected; raises ConfigError over its certificates."""
    make_breaker = partial(CircuitBreaker, config.draft_cool_down_seconds, config.max_draft_cool_down_seconds)
    reconnect = ReconnectSettings()
    limits = LivenessLimits(config.replica_silence_seconds, config.replica_stall_seconds)
    manners = (make_breaker, reconnect, limits, Discovery(interval_seconds=config.discovery_seconds))
    files = config.certificate_files
    # The same certificate that clients see, shown by other connections and at their other end.
    watch = None if files is None else CertificateWatch(files, Role.CLIENT)
    target_trust, draft_trust = (
        None if watch is None else Trust(watch, name)
        for name in (config.target_tls_name, config.draft_tls_name)
    )
    return (
        TargetPool(config.target_addresses, TargetClient, vocabulary_sha256, *manners, trust=target_trust),
        DraftPool(config.draft_addresses, DraftClient, vocabulary_sha256, *manners, trust=draft_trust),
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


async def _dependencies(surroundings: Surroundings) -> None:
    """Wait until Redis answers and a target is ready."""
    await surroundings.targets.wait_for_one()
    while True:
        try:
            return await share_key(surroundings)
        except SessionStoreUnavailableError as error:
            _log.warning("waiting_for_redis", message=error.message)
        await asyncio.sleep(_REDIS_POLL_SECONDS)
