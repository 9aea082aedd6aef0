"""The target service from start to end."""

import asyncio
from functools import partial

from paceline.serving.model_host import hosting, serve_while_it_computes
from paceline.serving.replica import Replica
from paceline.serving.round_watch import RoundWatch
from paceline.serving.server import Service, ServiceServer
from paceline.serving.session import Session
from paceline.serving.session_host import SessionHost
from paceline.telemetry.setup import telemetry
from paceline.v1 import target_service_pb2, target_service_pb2_grpc
from target_service.config import TargetConfig
from target_service.servicer import TargetServicer


def target_service(host: SessionHost[Session], replica: Replica, watch: RoundWatch) -> Service:
    """Return TargetService over a session host."""
    return Service(
        target_service_pb2.DESCRIPTOR.services_by_name["TargetService"].full_name,
        partial(
            target_service_pb2_grpc.add_TargetServiceServicer_to_server, TargetServicer(host, replica, watch)
        ),
    )


async def serve(config: TargetConfig) -> None:
    """Listen, load the model, serve until SIGTERM or SIGINT, drain."""
    draining = asyncio.Event()
    host = SessionHost(Session, config, draining)
    with telemetry(config.telemetry) as told:
        watch = RoundWatch("target", told)
        service = target_service(host, Replica.of(config), watch)
        async with (
            ServiceServer(config, [service], draining, told.metrics) as server,
            hosting(config, watch.note_pass) as model,
            host.using(model),
        ):
            watch.observe(model.engine, host.sessions)
            await serve_while_it_computes(server, model.engine)
            watch.flush()
