"""What is known of a connection before its first request."""

from dataclasses import dataclass
from typing import Any, cast

from starlette.types import Scope

_STATE = "paceline.connection"


@dataclass(frozen=True)
class ConnectionFacts:
    """A connection.

    Attributes:
        peer_names: DNS and URI names of the client's certificate.
        is_surplus: Whether there are more connections than may be; its request is refused.
    """

    peer_names: tuple[str, ...] = ()
    is_surplus: bool = False

    @property
    def state(self) -> dict[str, Any]:
        """What goes into the scopes of its requests."""
        return {_STATE: self}


def connection_of(scope: Scope) -> ConnectionFacts:
    """Return the connection of a request."""
    return scope["state"].get(_STATE) or ConnectionFacts()


def names_in(certificate: object) -> tuple[str, ...]:
    """Return the DNS and URI names of a certificate as `ssl` describes it; none where there is none."""
    described = cast("dict[str, Any]", certificate) if certificate else {}
    return tuple(name for kind, name in described.get("subjectAltName", ()) if kind in {"DNS", "URI"})
