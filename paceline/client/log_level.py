"""The level of a running process' logs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from paceline.client.connection import PLAIN_TEXT, Connection, ConnectionSettings, connected
from paceline.serving.log_levels import LEVEL_OF_MESSAGE, MESSAGE_OF_LEVEL, LogLevel
from paceline.v1 import log_service_pb2 as pb
from paceline.v1 import log_service_pb2_grpc as pb_grpc


class Logs:
    """The logs of one process; made by `connect_to_logs`. Every method raises CallFailedError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def level(self) -> LogLevel:
        """Return the level."""
        response = await self._connection.ask(self._stub.GetLogLevel, pb.GetLogLevelRequest())
        return LEVEL_OF_MESSAGE[response.level]

    async def set_level(self, level: LogLevel) -> LogLevel:
        """Set the level until the process ends; return the one before."""
        request = pb.SetLogLevelRequest(level=MESSAGE_OF_LEVEL[level])
        response = await self._connection.ask(self._stub.SetLogLevel, request)
        return LEVEL_OF_MESSAGE[response.previous_level]

    @property
    def _stub(self) -> "pb_grpc.LogServiceAsyncStub":
        return self._connection.stub(pb_grpc.LogServiceStub)


@asynccontextmanager
async def connect_to_logs(address: str, settings: ConnectionSettings = PLAIN_TEXT) -> AsyncIterator[Logs]:
    """Connect to any Paceline service at HOST:PORT inside a `with`; the first call finds out if it is there.

    Raises ConfigError over the settings.
    """
    async with connected(address, settings) as connection:
        yield Logs(connection)
