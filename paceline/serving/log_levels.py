"""How severe an event has to be to be logged: in the process, on the wire and for operators."""

from enum import StrEnum

from paceline.v1 import log_service_pb2 as pb


class LogLevel(StrEnum):
    """The levels, the least severe first."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


MESSAGE_OF_LEVEL = {
    LogLevel.DEBUG: pb.LOG_LEVEL_DEBUG,
    LogLevel.INFO: pb.LOG_LEVEL_INFO,
    LogLevel.WARNING: pb.LOG_LEVEL_WARNING,
    LogLevel.ERROR: pb.LOG_LEVEL_ERROR,
}
LEVEL_OF_MESSAGE = {message: level for level, message in MESSAGE_OF_LEVEL.items()}
