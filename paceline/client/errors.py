"""What a client meets."""

from collections.abc import Mapping
from typing import Self

import grpc.aio

from paceline.errors import PacelineError
from paceline.security.handshake import HandshakeFault, HandshakeReason
from paceline.serving.status import error_reason


class CallFailedError(PacelineError):
    """The orchestrator refused or broke off a call (`code`, `call_reason` as it gave it, `metadata`)."""

    reason = "CALL_FAILED"

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

    @classmethod
    def of(cls, address: str, error: grpc.aio.AioRpcError, *, is_encrypted: bool = False) -> Self:
        """Return what a failed call to an address comes to.

        One that the caller cancelled never comes here: CANCELLED without a reason of ours is the word of a server that
        goes, which is UNAVAILABLE.
        """
        reason, message, metadata = error_reason(error)
        code = error.code().name
        if reason == "CANCELLED":
            code, reason, message = "UNAVAILABLE", "CONNECTION_LOST", f"{address} ended the connection: try again"
        return cls(address, code, reason, _sentence(address, reason, message, is_encrypted), metadata)


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
