"""Errors as HTTP answers in OpenAI's shape: the one table, from our reason by its gRPC status.

docs/http-api.md has the same table for people, and a test compares the two.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import grpc

from paceline.errors import InvalidRequestError, PacelineError
from paceline.serving.status import RETRY_AFTER, STATUS_OF_REASON, ErrorReport, report_of

# What a client that may repeat a request is told to wait where nothing better is known.
_RETRY_SECONDS = 1


class ErrorKind(NamedTuple):
    """The HTTP status of an error, and OpenAI's word for its type."""

    status: int
    type: str


_INVALID = "invalid_request_error"
_OVERLOADED = ErrorKind(503, "overloaded_error")

# As google.rpc.Code has them.
_KIND_OF_STATUS: Mapping[grpc.StatusCode, ErrorKind] = {
    grpc.StatusCode.ABORTED: ErrorKind(409, "api_error"),
    grpc.StatusCode.CANCELLED: ErrorKind(499, "api_error"),
    grpc.StatusCode.FAILED_PRECONDITION: ErrorKind(400, _INVALID),
    grpc.StatusCode.INTERNAL: ErrorKind(500, "api_error"),
    grpc.StatusCode.INVALID_ARGUMENT: ErrorKind(400, _INVALID),
    grpc.StatusCode.NOT_FOUND: ErrorKind(404, "not_found_error"),
    grpc.StatusCode.PERMISSION_DENIED: ErrorKind(403, "permission_error"),
    grpc.StatusCode.RESOURCE_EXHAUSTED: ErrorKind(429, "rate_limit_error"),
    grpc.StatusCode.UNAUTHENTICATED: ErrorKind(401, "authentication_error"),
    grpc.StatusCode.UNAVAILABLE: _OVERLOADED,
}
# Reasons that HTTP tells apart and gRPC does not.
_KIND_OF_REASON: Mapping[str, ErrorKind] = {
    "KV_BLOCKS_EXHAUSTED": _OVERLOADED,
    "MESSAGE_TOO_LARGE": ErrorKind(413, _INVALID),
    "TOO_MANY_SESSIONS": _OVERLOADED,
}
# Reasons that only HTTP has.
HTTP_REASONS: Mapping[str, ErrorKind] = {
    "HEADERS_TOO_LARGE": ErrorKind(431, _INVALID),
    "HOST_NOT_ALLOWED": ErrorKind(421, "permission_error"),
    "METHOD_NOT_ALLOWED": ErrorKind(405, _INVALID),
    "NO_SUCH_PAGE": ErrorKind(404, "not_found_error"),
    "TOO_MANY_CONNECTIONS": _OVERLOADED,
    "TOO_MUCH_AT_ONCE": _OVERLOADED,
    "TOO_SLOW": ErrorKind(408, _INVALID),
    "UNSUPPORTED_MEDIA_TYPE": ErrorKind(415, _INVALID),
}

KIND_OF_REASON: Mapping[str, ErrorKind] = {
    **{reason: _KIND_OF_STATUS[status] for reason, status in STATUS_OF_REASON.items()},
    **_KIND_OF_REASON,
    **HTTP_REASONS,
}

# What the core calls a field, and what it is called here.
_PARAMETER_OF_FIELD = {
    "chat.messages.tool_calls_json": "messages",
    "chat.tools_json": "tools",
    "continuation.mode": "paceline.continuation.mode",
    "continuation.rollback_token": "paceline.continuation.rollback_token",
    "num_choices": "n",
    "sampling.end_ids": "stop_token_ids",
    "sampling.num_logprobs": "logprobs",
    "sampling.structure": "response_format",
    "sampling.verification": "paceline.verification",
    "speculation.drafter": "paceline.speculation.drafter",
    "speculation.mode": "paceline.speculation.mode",
    "speculation.num_draft_tokens": "paceline.speculation.num_draft_tokens",
    "stop.ids": "stop_token_ids",
    "stop.texts": "stop",
}
_PARAMETER_OF_REASON = {"UNKNOWN_MODEL": "model"}
# A repeat over the same connection would be refused too.
_CONNECTION_REASONS = frozenset({"DRAINING", "TOO_MANY_CONNECTIONS"})


class HttpError(PacelineError):
    """A request that HTTP itself has no answer for (`reason` is one of HTTP_REASONS)."""

    def __init__(self, reason: str, message: str, **facts: object) -> None:
        assert reason in HTTP_REASONS, reason
        super().__init__(message, **facts)
        self.reason = reason  # pyright: ignore[reportAttributeAccessIssue], of this error, not of the class


class MessageTooLargeError(PacelineError):
    """The body of a request has too many bytes (`max_message_bytes`)."""

    reason = "MESSAGE_TOO_LARGE"

    def __init__(self, max_message_bytes: int) -> None:
        super().__init__(
            f"the body has more than {max_message_bytes} bytes; send less, or raise --max-message-bytes",
            max_message_bytes=max_message_bytes,
        )


@dataclass(frozen=True)
class ErrorAnswer:
    """An error as a client gets it."""

    kind: ErrorKind
    reason: str
    message: str
    parameter: str | None
    retry_seconds: int | None

    @property
    def body(self) -> dict[str, Any]:
        """The body of the answer, or of an event in a stream that had begun."""
        return {
            "error": {
                "message": self.message,
                "type": self.kind.type,
                "param": self.parameter,
                "code": self.reason,
            }
        }

    @property
    def headers(self) -> dict[str, str]:
        """What belongs into the answer's head."""
        headers: dict[str, str] = {}
        if self.retry_seconds is not None:
            headers["retry-after"] = str(self.retry_seconds)
        if self.reason in _CONNECTION_REASONS:
            headers["connection"] = "close"
        if self.kind.status == 401:
            headers["www-authenticate"] = "Bearer"
        return headers


def invalid(parameter: str, message: str) -> InvalidRequestError:
    """Return the refusal of a parameter, by the name that it has in a request over HTTP."""
    return InvalidRequestError(message, field=parameter)


def answer_of(error: BaseException) -> ErrorAnswer:
    """Return what a client may learn of an error; one that no caller can act on is logged and kept back."""
    if isinstance(error, HttpError):
        return _answer(ErrorReport(grpc.StatusCode.UNKNOWN, error.reason, error.message, {}))
    return _answer(report_of(error))


def _answer(report: ErrorReport) -> ErrorAnswer:
    kind = KIND_OF_REASON.get(report.reason) or _KIND_OF_STATUS[report.code]
    field = report.metadata.get("field")
    parameter, message = _PARAMETER_OF_REASON.get(report.reason), report.message
    if field is not None:
        parameter = parameter_of(field)
        if message.startswith(field):  # it begins with the name that the field has in the core
            message = parameter + message.removeprefix(field)
    return ErrorAnswer(kind, report.reason, message, parameter, _retry_seconds(kind, report.metadata))


def parameter_of(field: str) -> str:
    """Return what a field of the core is called in a request over HTTP."""
    return _PARAMETER_OF_FIELD.get(field) or field.removeprefix("sampling.")


def _retry_seconds(kind: ErrorKind, facts: Mapping[str, str]) -> int | None:
    if kind.status not in {429, 503}:
        return None
    return max(_RETRY_SECONDS, math.ceil(float(facts.get(RETRY_AFTER, 0))))
