"""The one family of exceptions: each names its reason, carries its facts as attributes and says what to do.

`paceline.serving.status` maps every reason to a gRPC status in one table; nothing matches error texts.
"""

from typing import ClassVar


class PacelineError(Exception):
    """A failure that a caller can act on.

    Subclasses set `reason`, the UPPER_SNAKE word that machines read, and define their facts as keyword
    attributes; the message is one sentence for people that says what to do.
    """

    reason: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    def __str__(self) -> str:
        return self.message


class InvalidRequestError(PacelineError):
    """A field of a request is missing, malformed or out of range (`field`, and its limits where it has any)."""

    reason = "INVALID_REQUEST"


class ConfigError(PacelineError):
    """A setting is missing, malformed or contradicts another (`setting`)."""

    reason = "INVALID_CONFIG"
