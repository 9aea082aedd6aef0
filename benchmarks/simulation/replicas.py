"""Timed replicas: the real services, the real engine, and a clock in place of the model."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from benchmarks.simulation.distant_servicers import (
    DistantDraftServicer,
    DistantTargetServicer,
    WatchedReplica,
)
from benchmarks.simulation.replica_plan import PoolPlan, ReplicaAddresses, ReplicaPlan
from benchmarks.simulation.timed_engine import MODEL_NAME, timed_engine
from draft_service.config import DraftConfig
from draft_service.program import draft_host
from draft_service.session import DraftSession
from paceline.local.plan import LOOPBACK
from paceline.serving.config import ModelServiceConfig
from paceline.serving.model_host import HostedModel
from paceline.serving.server import Service, ServiceServer
from paceline.serving.session import Session
from paceline.serving.session_host import SessionHost
from paceline.v1 import draft_service_pb2, draft_service_pb2_grpc, target_service_pb2, target_service_pb2_grpc
from target_service.config import TargetConfig
from tests.orchestrator.byte_tokenizer import byte_tokenizer

GRACE_SECONDS = 2.0


@asynccontextmanager
async def serving_replicas(plan: ReplicaPlan) -> AsyncIterator[ReplicaAddresses]:
    """Serve all replicas of a plan for as long as the block runs."""
    async with AsyncExitStack() as stack:
        targets = [await stack.enter_async_context(_target(plan.target)) for _ in range(plan.num_targets)]
        drafts = [await stack.enter_async_context(_draft(plan.draft)) for _ in range(plan.num_drafts)]
        yield ReplicaAddresses(tuple(targets), tuple(drafts))


@asynccontextmanager
async def _target(plan: PoolPlan) -> AsyncIterator[str]:
    draining, config = asyncio.Event(), TargetConfig(**_options(plan))
    host = SessionHost(Session, config, draining)
    servicer = DistantTargetServicer(host, WatchedReplica.named(config.replica_id), plan.one_way_seconds)
    service = Service(
        target_service_pb2.DESCRIPTOR.services_by_name["TargetService"].full_name,
        partial(target_service_pb2_grpc.add_TargetServiceServicer_to_server, servicer),
    )
    async with _serving(plan, config, service, host, draining) as address:
        yield address


@asynccontextmanager
async def _draft(plan: PoolPlan) -> AsyncIterator[str]:
    draining, config = asyncio.Event(), DraftConfig(**_options(plan))
    host = draft_host(config, draining)
    servicer = DistantDraftServicer(host, WatchedReplica.named(config.replica_id), plan.one_way_seconds)
    service = Service(
        draft_service_pb2.DESCRIPTOR.services_by_name["DraftService"].full_name,
        partial(draft_service_pb2_grpc.add_DraftServiceServicer_to_server, servicer),
    )
    async with _serving(plan, config, service, host, draining) as address:
        yield address


@asynccontextmanager
async def _serving(
    plan: PoolPlan,
    config: ModelServiceConfig,
    service: Service,
    host: SessionHost[Session] | SessionHost[DraftSession],
    draining: asyncio.Event,
) -> AsyncIterator[str]:
    engine = timed_engine(plan)
    try:
        model = HostedModel(engine, engine.info, byte_tokenizer().vocabulary_hash)
        async with ServiceServer(config, [service], draining) as server, host.using(model):
            serving = asyncio.create_task(server.serve())
            yield f"{LOOPBACK}:{server.port}"
            server.request_stop()
            await serving
    finally:
        await asyncio.to_thread(engine.close, GRACE_SECONDS)


def _options(plan: PoolPlan) -> dict[str, Any]:
    return {
        "listen": f"{LOOPBACK}:0",
        "model": MODEL_NAME,
        "grace_seconds": GRACE_SECONDS,
        "max_sessions": plan.max_sessions,
        "max_waiting_works": plan.max_sessions,
    }
