"""What a gRPC server shows to those who connect: with each connection the newest certificate."""

import grpc

from paceline.security.certificate_watch import CertificateWatch
from paceline.security.certificates import Certificates


def server_credentials(watch: CertificateWatch, *, asks_for_certificates: bool) -> grpc.ServerCredentials:
    """Return credentials that follow a watch; connections that there are go on as they are.

    gRPC asks for newer ones before each handshake, on a thread of its own. Where the server asks clients for
    certificates, one without a certificate of the watch's authorities is refused; otherwise none is asked for.
    """
    served = watch.newest()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal served
        newest = watch.newest()
        if newest is served:
            return None
        served = newest
        return _configuration(newest)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(served),
        renewed,  # pyright: ignore[reportArgumentType], None leaves all as it is
        asks_for_certificates,
    )


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    own = certificates.own
    assert own is not None, "a server has a certificate"
    return grpc.ssl_server_certificate_configuration([(own.key, own.chain)], certificates.ca)
