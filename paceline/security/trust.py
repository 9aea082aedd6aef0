"""What a client proves itself with and whom it believes."""

from dataclasses import dataclass

import grpc

from paceline.security.certificate_watch import CertificateWatch
from paceline.security.certificates import Certificates


@dataclass(frozen=True)
class Trust:
    """How a client knows a server.

    Attributes:
        watch: The authorities that it believes, and its own certificate if it has one.
        server_name: What the server's certificate must be for; the host of the address where it is None.
    """

    watch: CertificateWatch
    server_name: str | None = None


def channel_credentials(certificates: Certificates) -> grpc.ChannelCredentials:
    """Return a client's credentials; they never change."""
    own = certificates.own
    if own is None:
        return grpc.ssl_channel_credentials(certificates.ca)
    return grpc.ssl_channel_credentials(certificates.ca, own.key, own.chain)
