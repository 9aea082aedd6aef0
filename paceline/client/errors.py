"""What a client meets."""

from collections.abc import Mapping
from typing import Self

import grpc.aio

from paceline.errors import PacelineError
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
        super().__init__(_sentence(address, reason, message), code=code, metadata=self.metadata)

    @classmethod
    def of(cls, address: str, error: grpc.aio.AioRpcError) -> Self:
        """Return what a failed call to an address comes to."""
        reason, message, metadata = error_reason(error)
        return cls(address, error.code().name, reason, message, metadata)


class StreamGapError(PacelineError):
    """A stream does not go on where the one before it broke off (`expected_position`, `position`)."""

    reason = "STREAM_GAP"

    def __init__(self, expected_position: int, position: int) -> None:
        super().__init__(
            f"the stream goes on at position {position} instead of {expected_position}; report this",
            expected_position=expected_position,
            position=position,
        )


def _sentence(address: str, reason: str, message: str) -> str:
    if reason == "UNAVAILABLE":  # gRPC's own word: nobody listens there
        return f"nobody answers at {address}: start a cluster with `paceline up`, or check the address"
    if reason == "UNIMPLEMENTED":  # gRPC's own word too
        return f"the process at {address} does not know the call: it is another service, or an older version"
    return f"{message} ({reason})"
