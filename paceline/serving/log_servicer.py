"""LogService: the level of a running process' logs."""

import grpc.aio
import structlog

from paceline.errors import InvalidRequestError
from paceline.serving.logs import log_level, set_log_level
from paceline.v1 import log_service_pb2 as messages
from paceline.v1 import log_service_pb2_grpc

SERVICE_NAME = messages.DESCRIPTOR.services_by_name["LogService"].full_name

_LEVELS = {
    messages.LOG_LEVEL_DEBUG: "debug",
    messages.LOG_LEVEL_INFO: "info",
    messages.LOG_LEVEL_WARNING: "warning",
    messages.LOG_LEVEL_ERROR: "error",
}
_NUMBERS = {name: number for number, name in _LEVELS.items()}

_log = structlog.get_logger()


class LogServicer(log_service_pb2_grpc.LogServiceServicer):
    """Serves LogService for this process."""

    async def GetLogLevel(
        self, request: messages.GetLogLevelRequest, context: grpc.aio.ServicerContext
    ) -> messages.GetLogLevelResponse:
        """Return the level."""
        return messages.GetLogLevelResponse(level=_NUMBERS[log_level()])

    async def SetLogLevel(
        self, request: messages.SetLogLevelRequest, context: grpc.aio.ServicerContext
    ) -> messages.SetLogLevelResponse:
        """Set the level."""
        level = _LEVELS.get(request.level)
        if level is None:
            raise InvalidRequestError(
                f"level {request.level} is none; send one from LOG_LEVEL_DEBUG to LOG_LEVEL_ERROR",
                field="level",
            )
        previous = log_level()
        set_log_level(level)
        _log.warning("log_level_set", level=level, previous_level=previous)
        return messages.SetLogLevelResponse(previous_level=_NUMBERS[previous])
