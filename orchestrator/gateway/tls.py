"""TLS for HTTP, from the same files as gRPC's, with the newest certificate in each handshake."""

import ssl

from paceline.security.certificate_watch import CertificateWatch
from paceline.security.certificates import CertificateFiles, Certificates, Role
from paceline.security.contexts import context, show


def renewed_context(files: CertificateFiles, *, asks_for_certificates: bool) -> ssl.SSLContext:
    """Return a context whose handshakes use what the files hold then; connections that there are go on as they are.

    A server's handshake calls `sni_callback` after the client's first message, whether that names a host or not, and
    takes certificate and authorities of whichever context is set there. Raises ConfigError over the first files.
    """
    watch = CertificateWatch(files, Role.SERVER)
    served = watch.newest()
    newest = _context(served, asks_for_certificates=asks_for_certificates)

    def renew(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, old: ssl.SSLContext) -> None:
        nonlocal served, newest
        found = watch.newest()
        if found is not served:
            served, newest = found, _context(found, asks_for_certificates=asks_for_certificates)
        connection.context = newest

    first = _context(served, asks_for_certificates=asks_for_certificates)
    first.sni_callback = renew  # pyright: ignore[reportAttributeAccessIssue], SSLObject is not told to typeshed
    return first


def _context(certificates: Certificates, *, asks_for_certificates: bool) -> ssl.SSLContext:
    own = certificates.own
    assert own is not None, "a server has a certificate"
    made = context(ssl.PROTOCOL_TLS_SERVER, certificates.ca if asks_for_certificates else None)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    show(made, own.chain, own.key)
    return made
