"""The draft service from start to end."""

import asyncio
from functools import partial

from draft_service.config import DraftConfig
from draft_service.guess_budget import GuessBudget
from draft_service.servicer import DraftServicer
from draft_service.session import DraftSession
from paceline.serving.model_host import hosting, serve_while_it_computes
from paceline.serving.replica import Replica
from paceline.serving.round_watch import RoundWatch
from paceline.serving.server import Service, ServiceServer
from paceline.serving.session_host import SessionHost
from paceline.telemetry.setup import telemetry
from paceline.v1 import draft_service_pb2, draft_service_pb2_grpc


def draft_service(host: SessionHost[DraftSession], replica: Replica, watch: RoundWatch) -> Service:
    """Return DraftService over a session host."""
    return Service(
        draft_service_pb2.DESCRIPTOR.services_by_name["DraftService"].full_name,
        partial(
            draft_service_pb2_grpc.add_DraftServiceServicer_to_server, DraftServicer(host, replica, watch)
        ),
    )


def draft_host(config: DraftConfig, draining: asyncio.Event) -> SessionHost[DraftSession]:
    """Return a host whose sessions share the places for guesses."""
    return SessionHost(partial(DraftSession, guess_budget=GuessBudget(config.max_guesses)), config, draining)


async def serve(config: DraftConfig) -> None:
    """Listen, load the model, serve until SIGTERM or SIGINT, drain."""
    draining = asyncio.Event()
    host = draft_host(config, draining)
    with telemetry(config.telemetry) as told:
        watch = RoundWatch("draft", told)
        service = draft_service(host, Replica.of(config), watch)
        async with (
            ServiceServer(config, [service], draining, told.metrics) as server,
            hosting(config, watch.note_pass, config.head) as model,
            host.using(model),
        ):
            watch.observe(model.engine, host.sessions)
            await serve_while_it_computes(server, model.engine)
            watch.flush()
