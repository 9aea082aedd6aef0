"""Errors as gRPC statuses: the one table, and how a service answers with them.

A status carries a google.rpc.ErrorInfo with the reason, the domain "paceline" and the error's facts, so that
a caller decides by `reason` and never by text. docs/errors.md says what to do about each. What a client reads out of
it is in `paceline.serving.failed_call`.
"""

from collections.abc import Mapping
from typing import NamedTuple, NoReturn

import grpc
import grpc.aio
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from paceline.errors import PacelineError
from paceline.serving.failed_call import DOMAIN, ErrorReason, error_reason

INTERNAL_REASON = "INTERNAL"
INTERNAL_MESSAGE = "the service failed; its log has the cause"
# The fact of an error that says when a repeat may succeed, in seconds.
RETRY_AFTER = "retry_after_seconds"

STATUS_OF_REASON: Mapping[str, grpc.StatusCode] = {
    "API_KEY_EXPIRED": grpc.StatusCode.UNAUTHENTICATED,
    "API_KEY_INVALID": grpc.StatusCode.UNAUTHENTICATED,
    "API_KEY_MISSING": grpc.StatusCode.UNAUTHENTICATED,
    "CHAT_TEMPLATE_FAILED": grpc.StatusCode.INVALID_ARGUMENT,
    "CONTEXT_TOO_LONG": grpc.StatusCode.INVALID_ARGUMENT,
    "DRAINING": grpc.StatusCode.UNAVAILABLE,
    "EMPTY_PROMPT": grpc.StatusCode.INVALID_ARGUMENT,
    "ENGINE_FAILED": grpc.StatusCode.UNAVAILABLE,
    "INTERNAL": grpc.StatusCode.INTERNAL,
    "INVALID_REQUEST": grpc.StatusCode.INVALID_ARGUMENT,
    "INVALID_ROLLBACK_TOKEN": grpc.StatusCode.INVALID_ARGUMENT,
    "INVALID_UTF8": grpc.StatusCode.INVALID_ARGUMENT,
    "KV_BLOCKS_EXHAUSTED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "MESSAGE_TOO_LARGE": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "MODEL_NOT_READY": grpc.StatusCode.UNAVAILABLE,
    "NO_DRAFT_REPLICA": grpc.StatusCode.UNAVAILABLE,
    "NO_TARGET_REPLICA": grpc.StatusCode.UNAVAILABLE,
    "PEER_NOT_ALLOWED": grpc.StatusCode.PERMISSION_DENIED,
    "POSITION_MISMATCH": grpc.StatusCode.FAILED_PRECONDITION,
    "PROMPT_TOO_LONG": grpc.StatusCode.INVALID_ARGUMENT,
    "QUOTA_EXCEEDED": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "ROLE_NOT_ALLOWED": grpc.StatusCode.PERMISSION_DENIED,
    "SESSION_CANCELLED": grpc.StatusCode.CANCELLED,
    "SESSION_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "SESSION_STORE_UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
    "STALE_EPOCH": grpc.StatusCode.ABORTED,
    "STALE_ROLLBACK_TOKEN": grpc.StatusCode.FAILED_PRECONDITION,
    "SUPERSEDED": grpc.StatusCode.CANCELLED,
    "TOKEN_OUT_OF_VOCABULARY": grpc.StatusCode.INVALID_ARGUMENT,
    "TOO_MANY_SESSIONS": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "UNKNOWN_MODEL": grpc.StatusCode.NOT_FOUND,
    "VOCABULARY_MISMATCH": grpc.StatusCode.FAILED_PRECONDITION,
}

_log = structlog.get_logger()

__all__ = [
    "INTERNAL_REASON", "RETRY_AFTER", "STATUS_OF_REASON", "ErrorReason", "ErrorReport", "abort", "abort_in_thread",
    "error_reason", "report_of", "status_of",
]  # fmt: skip


class ErrorReport(NamedTuple):
    """What a caller learns of an error."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: dict[str, str]


def status_of(error: BaseException) -> grpc.StatusCode:
    """Return the gRPC status of an error: INTERNAL for whatever the table does not name."""
    if not isinstance(error, PacelineError):
        return grpc.StatusCode.INTERNAL
    return STATUS_OF_REASON.get(error.reason, grpc.StatusCode.INTERNAL)


def report_of(error: BaseException) -> ErrorReport:
    """Return what a caller may learn of an error; one that no caller can act on is logged and kept back."""
    code = status_of(error)
    if isinstance(error, PacelineError) and code is not grpc.StatusCode.INTERNAL:
        facts = {name: str(value) for name, value in error.facts.items()}
        return ErrorReport(code, error.reason, error.message, facts)
    _log.error("internal_error", exc_info=error)
    return ErrorReport(grpc.StatusCode.INTERNAL, INTERNAL_REASON, INTERNAL_MESSAGE, {})


async def abort(context: grpc.aio.ServicerContext, error: BaseException) -> NoReturn:
    """End a call with the status of an error and its ErrorInfo."""
    report = report_of(error)
    await context.abort(report.code, report.message, _details(report))
    raise AssertionError("abort returned")


def abort_in_thread(context: grpc.ServicerContext, error: BaseException) -> NoReturn:
    """Do the same for a call that is answered by a plain function, which gRPC runs in a thread."""
    report = report_of(error)
    # Its context takes the details beside the status, unlike the one of coroutines.
    context.set_trailing_metadata(_details(report))
    context.abort(report.code, report.message)
    raise AssertionError("abort returned")


def _details(report: ErrorReport) -> tuple[tuple[str, str | bytes], ...]:
    return tuple(rpc_status.to_status(_status_message(report)).trailing_metadata or ())


def _status_message(report: ErrorReport) -> status_pb2.Status:
    info = error_details_pb2.ErrorInfo(reason=report.reason, domain=DOMAIN, metadata=report.metadata)
    retry = _retry_info(report.metadata)
    details = [_packed(one) for one in (info, retry) if one is not None]
    return status_pb2.Status(code=report.code.value[0], message=report.message, details=details)


def _retry_info(metadata: Mapping[str, str]) -> error_details_pb2.RetryInfo | None:
    """Return what libraries that know nothing of us read of when to try again."""
    seconds = metadata.get(RETRY_AFTER)
    if seconds is None:
        return None
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(round(1000 * float(seconds)))
    return retry


def _packed(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
