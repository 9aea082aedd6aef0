"""LogService: the level of a running process' logs."""

import grpc.aio
import structlog

from paceline.errors import InvalidRequestError
from paceline.serving.log_levels import LEVEL_OF_MESSAGE, MESSAGE_OF_LEVEL
from paceline.serving.logs import log_level, set_log_level
from paceline.v1 import log_service_pb2 as messages
from paceline.v1 import log_service_pb2_grpc

SERVICE_NAME = messages.DESCRIPTOR.services_by_name["LogService"].full_name

_log = structlog.get_logger()


class LogServicer(log_service_pb2_grpc.LogServiceServicer):
    """Serves LogService for this process."""

    async def GetLogLevel(
        self, request: messages.GetLogLevelRequest, context: grpc.aio.ServicerContext
    ) -> messages.GetLogLevelResponse:
        """Return the level."""
        return messages.GetLogLevelResponse(level=MESSAGE_OF_LEVEL[log_level()])

    async def SetLogLevel(
        self, request: messages.SetLogLevelRequest, context: grpc.aio.ServicerContext
    ) -> messages.SetLogLevelResponse:
        """Set the level."""
        level = LEVEL_OF_MESSAGE.get(request.level)
        if level is None:
            raise InvalidRequestError(
                f"level {request.level} is none; send one from LOG_LEVEL_DEBUG to LOG_LEVEL_ERROR",
                field="level",
            )
        previous = log_level()
        set_log_level(level)
        _log.warning("log_level_set", level=level, previous_level=previous)
        return messages.SetLogLevelResponse(previous_level=MESSAGE_OF_LEVEL[previous])
