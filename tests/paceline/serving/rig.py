"""A model service in this process over a real socket, with a fake engine behind it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import grpc.aio

from paceline.engine.engine import Engine
from paceline.rounds import prefix_digest
from paceline.serving.config import ModelServiceConfig
from paceline.serving.model_host import HostedModel
from paceline.serving.replica import Replica
from paceline.serving.round_watch import RoundWatch
from paceline.serving.server import Service, ServiceServer
from paceline.serving.session_host import SessionHost
from paceline.telemetry.metrics import Metrics
from paceline.telemetry.setup import Telemetry
from paceline.v1 import round_pb2
from tests.paceline.engine.capture import settle
from tests.paceline.serving.fake_engine import FakeEngine


class Rig(NamedTuple):
    engine: Any  # a FakeEngine where no other was given
    host: SessionHost[Any]
    server: ServiceServer
    channel: grpc.aio.Channel


@asynccontextmanager
async def model_service(
    make_service: Callable[[SessionHost[Any], Replica, RoundWatch], Service],
    session_type: Any,
    engine: Engine | None = None,
    **options: Any,
) -> AsyncIterator[Rig]:
    """Serve until the block ends, on a fake engine if none is given; then every sequence must be closed."""
    config = ModelServiceConfig(listen="127.0.0.1:0", model="fake", replica_id="replica-0", **options)
    draining = asyncio.Event()
    host: SessionHost[Any] = SessionHost(session_type, config, draining)
    service = make_service(host, Replica(config.replica_id), RoundWatch("fake", Telemetry(Metrics())))
    served = engine or FakeEngine()
    try:
        async with (
            ServiceServer(config, [service], draining) as server,
            host.using(HostedModel(served, served.info, "aa")),
            grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            yield Rig(served, host, server, channel)
            if isinstance(served, FakeEngine):
                served.let_go()
        if isinstance(served, FakeEngine):
            assert served.open_sequences == []
        else:
            settle(served)
            assert served.usage().num_used_blocks == 0
    finally:
        served.close()


def point(
    session_id: str, position: int, ids: list[int], epoch: int = 1, **fields: Any
) -> round_pb2.SessionPoint:
    """The point that commits `ids[position:]`."""
    return round_pb2.SessionPoint(
        session_id=session_id,
        epoch=epoch,
        position=position,
        prefix_digest=prefix_digest(ids[:position]),
        committed_ids=ids[position:],
        **fields,
    )


async def until(condition: Callable[[], bool]) -> None:
    """Let everything run until a condition holds; the test's own time limit is the bound."""
    while not condition():  # noqa: ASYNC110  the condition may change in another thread
        await asyncio.sleep(0.001)
