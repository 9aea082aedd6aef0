"""Certificates: where they lie and what was read of them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import NamedTuple


class Role(Enum):
    """At which end of a connection a certificate is shown; one may be made for only one of them."""

    SERVER = "server"
    CLIENT = "client"


class OwnFiles(NamedTuple):
    """The own certificate, behind it those that lead to its authority, and its key: PEM, without a passphrase."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class CertificateFiles:
    """PEM files, as a mounted Secret has them.

    Attributes:
        ca: The authorities whose certificates the other side may show.
        own: What this side shows; None shows nothing.
    """

    ca: Path
    own: OwnFiles | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.ca, *(self.own or ()))


@dataclass(frozen=True)
class OwnCertificate:
    """A certificate with its key, PEM; `names` are its DNS and URI names."""

    chain: bytes
    key: bytes = field(repr=False)
    names: tuple[str, ...]
    expires_at: datetime


@dataclass(frozen=True)
class Certificates:
    """What `CertificateFiles` held at one moment."""

    ca: bytes
    own: OwnCertificate | None
