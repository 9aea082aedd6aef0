"""What a failed call says of its error, as a client reads it; clients need nothing else of the services' chassis."""

from typing import NamedTuple, cast

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from grpc_status import rpc_status

DOMAIN = "paceline"


class ErrorReason(NamedTuple):
    """What a client reads out of a failed call."""

    reason: str
    message: str
    metadata: dict[str, str]


def error_reason(error: grpc.RpcError) -> ErrorReason:
    """Return the reason of a failed call.

    A status without our ErrorInfo comes from gRPC itself: RESOURCE_EXHAUSTED is then its limit on the bytes
    of a message, and any other code is its own reason, for example UNAVAILABLE where nobody listens.
    """
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError), error
    info = _error_info(error)
    message = error.details() or ""
    if info is not None:
        return ErrorReason(info.reason, message, dict(info.metadata))
    code = error.code()
    reason = "MESSAGE_TOO_LARGE" if code is grpc.StatusCode.RESOURCE_EXHAUSTED else code.name
    return ErrorReason(reason, message, {})


def _error_info(error: grpc.Call | grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo | None:
    try:
        status = rpc_status.from_call(cast("grpc.Call", error))
    except ValueError:  # the details contradict the status: not written by us
        return None
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status is not None else ():
        if detail.Unpack(info) and info.domain == DOMAIN:
            return info
    return None
