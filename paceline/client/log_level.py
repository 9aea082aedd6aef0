"""The level of a running process' logs."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar

import grpc.aio

from paceline.client.errors import CallFailedError
from paceline.client.orchestrator import CHANNEL_OPTIONS
from paceline.serving.log_levels import LEVEL_OF_MESSAGE, MESSAGE_OF_LEVEL, LogLevel
from paceline.v1 import log_service_pb2 as pb
from paceline.v1 import log_service_pb2_grpc as pb_grpc

T = TypeVar("T")


class Logs:
    """The logs of one process; made by `connect_to_logs`. Every method raises CallFailedError."""

    def __init__(self, address: str, channel: grpc.aio.Channel) -> None:
        self._address = address
        self._stub = pb_grpc.LogServiceStub(channel)

    async def level(self) -> LogLevel:
        """Return the level."""
        response = await self._answered(self._stub.GetLogLevel(pb.GetLogLevelRequest()))
        return LEVEL_OF_MESSAGE[response.level]

    async def set_level(self, level: LogLevel) -> LogLevel:
        """Set the level until the process ends; return the one before."""
        request = pb.SetLogLevelRequest(level=MESSAGE_OF_LEVEL[level])
        response = await self._answered(self._stub.SetLogLevel(request))
        return LEVEL_OF_MESSAGE[response.previous_level]

    async def _answered(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise CallFailedError.of(self._address, error) from error


@asynccontextmanager
async def connect_to_logs(address: str) -> AsyncIterator[Logs]:
    """Connect to any Paceline service at HOST:PORT inside a `with`; the first call finds out if it is there."""
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        yield Logs(address, channel)
