"""What a client meets."""

from collections.abc import Mapping

import grpc.aio

from paceline.errors import PacelineError
from paceline.security.handshake import HandshakeFault, HandshakeReason
from paceline.serving.failed_call import error_reason

# What another attempt, here or elsewhere, may get further with. INTERNAL and UNKNOWN are gRPC's own words for a
# connection that broke at a bad moment; with a reason of ours they are defects, which a repeat may get around.
_TEMPORARY_CODES = frozenset(
    {"UNAVAILABLE", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
)
_FINAL_REASONS = frozenset({"MESSAGE_TOO_LARGE"})


class CallFailedError(PacelineError):
    """The orchestrator refused or broke off a call; its subclasses say what a caller can do.

    Attributes:
        address: The orchestrator, HOST:PORT.
        code: The gRPC status, for example "UNAVAILABLE".
        call_reason: Why, one of the words of docs/errors.md.
        metadata: The facts of the reason.
        rollback_token: Where a generation that broke off can be gone on with, empty where it cannot.
    """

    reason = "CALL_FAILED"
    rollback_token: str = ""

    def __init__(
        self, address: str, code: str, reason: str, message: str, metadata: Mapping[str, str]
    ) -> None:
        self.address = address
        self.code = code
        self.call_reason = reason
        self.metadata = dict(metadata)
        super().__init__(message, code=code, metadata=self.metadata)

    @property
    def retry_after_seconds(self) -> float:
        """Seconds before which another attempt is in vain, as a quota says; 0 where nothing does."""
        return float(self.metadata.get("retry_after_seconds", 0.0))

    @property
    def is_temporary(self) -> bool:
        """Whether the same call may succeed later, or at another orchestrator."""
        return self.code in _TEMPORARY_CODES and self.call_reason not in _FINAL_REASONS

    @staticmethod
    def of(address: str, error: grpc.aio.AioRpcError, *, is_encrypted: bool = False) -> "CallFailedError":
        """Return what a failed call to an address comes to.

        One that the caller cancelled never comes here: CANCELLED without a reason of ours is the word of a server that
        goes, which is UNAVAILABLE.
        """
        reason, message, metadata = error_reason(error)
        code = error.code().name
        if reason == "CANCELLED":
            code, reason, message = (
                "UNAVAILABLE",
                "CONNECTION_LOST",
                f"{address} ended the connection: try again",
            )
        kind = _KINDS_BY_REASON.get(reason) or _KINDS_BY_CODE.get(code, CallFailedError)
        return kind(address, code, reason, _sentence(address, reason, message, is_encrypted), metadata)


class UnavailableError(CallFailedError):
    """Nobody answers, or the orchestrator cannot serve now: try again later."""


class OverloadedError(CallFailedError):
    """A quota is used up, or there is no room: try again, after `retry_after_seconds` where that is not 0."""


class DeadlineExceededError(CallFailedError):
    """The call was not finished in its time; what came until then is the caller's."""


class NotAllowedError(CallFailedError):
    """The API key or the certificate is missing, no longer good, or not for this call."""


class RequestRefusedError(CallFailedError):
    """The request cannot be served as it is; the sentence says what to change (`metadata` has the `field`)."""


class SessionLostError(CallFailedError):
    """The session, or the point that was asked for, is not there any more: begin anew with the whole text."""


class SessionTakenError(CallFailedError):
    """Somebody else goes on with the session: stop working on it."""


class ClientClosedError(PacelineError):
    """The client was closed before or during the call."""

    reason = "CLIENT_CLOSED"

    def __init__(self) -> None:
        super().__init__("the client is closed: make another one")


class NotStartedError(PacelineError):
    """There is no answer yet: the stream has not begun."""

    reason = "NOT_STARTED"

    def __init__(self) -> None:
        super().__init__("nothing has come of this stream yet: iterate over it first")


class HandshakeFailedError(PacelineError):
    """There is no connection, because of TLS (`address`, `fault`)."""

    reason = "HANDSHAKE_FAILED"

    def __init__(self, address: str, fault: HandshakeFault) -> None:
        self.address = address
        self.fault = fault
        super().__init__(
            f"{fault.message}: {_ADVICE[fault.reason]} ({fault.reason})", address=address, fault=fault.reason
        )


class StreamGapError(PacelineError):
    """A stream does not go on where the one before it broke off (`expected_position`, `position`)."""

    reason = "STREAM_GAP"

    def __init__(self, expected_position: int, position: int) -> None:
        super().__init__(
            f"the stream goes on at position {position} instead of {expected_position}; report this",
            expected_position=expected_position,
            position=position,
        )


_ADVICE = {
    HandshakeReason.CERTIFICATE_EXPIRED: "have it renewed",
    HandshakeReason.CERTIFICATE_NOT_YET_VALID: "look at the clocks of both machines",
    HandshakeReason.CERTIFICATE_OF_ANOTHER_CA: "give the certificate of its authority with --ca-file",
    HandshakeReason.CERTIFICATE_OF_ANOTHER_NAME: "call it by a name that it is for, or give that with --server-name",
    HandshakeReason.CERTIFICATE_INVALID: "have another one issued",
    HandshakeReason.OWN_CERTIFICATE_EXPIRED: "renew that of --certificate-file",
    HandshakeReason.OWN_CERTIFICATE_MISSING: "give --certificate-file and --key-file",
    HandshakeReason.OWN_CERTIFICATE_REFUSED: "give one of the authority that it knows with --certificate-file",
    HandshakeReason.TLS_NOT_SPOKEN: "check the address; leave out --ca-file where plain text is meant",
    HandshakeReason.TLS_REQUIRED: "give --ca-file",
}


def _sentence(address: str, reason: str, message: str, is_encrypted: bool) -> str:
    if reason == "UNAVAILABLE":  # gRPC's own word: nobody listens there, or there is no TLS connection
        if is_encrypted:
            return f"no TLS connection to {address}: {message}"
        return f"nobody answers at {address}: start a cluster with `paceline up`, or check the address"
    if reason == "UNIMPLEMENTED":  # gRPC's own word too
        return f"the process at {address} does not know the call: it is another service, or an older version"
    if reason == "API_KEY_MISSING":
        return f"{address} wants to know who calls: give --api-key-file, or set PACELINE_API_KEY ({reason})"
    return f"{message} ({reason})"


_KINDS_BY_REASON: Mapping[str, type[CallFailedError]] = {
    "INVALID_ROLLBACK_TOKEN": SessionLostError,
    "MESSAGE_TOO_LARGE": RequestRefusedError,
    "SESSION_CANCELLED": SessionLostError,
    "SESSION_NOT_FOUND": SessionLostError,
    "STALE_EPOCH": SessionTakenError,
    "STALE_ROLLBACK_TOKEN": SessionLostError,
}
_KINDS_BY_CODE: Mapping[str, type[CallFailedError]] = {
    "DEADLINE_EXCEEDED": DeadlineExceededError,
    "INTERNAL": UnavailableError,
    "INVALID_ARGUMENT": RequestRefusedError,
    "NOT_FOUND": RequestRefusedError,
    "PERMISSION_DENIED": NotAllowedError,
    "RESOURCE_EXHAUSTED": OverloadedError,
    "UNAUTHENTICATED": NotAllowedError,
    "UNAVAILABLE": UnavailableError,
    "UNIMPLEMENTED": RequestRefusedError,
    "UNKNOWN": UnavailableError,
}
