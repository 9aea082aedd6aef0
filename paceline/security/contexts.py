"""Contexts of the standard library's TLS, made of certificates in memory."""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

# What ssl raises over bytes that are no certificates.
NOT_PEM = (ssl.SSLError, ValueError)


def context(protocol: int, trusted: bytes | None) -> ssl.SSLContext:
    """Return a context that verifies the other side if there is anything to trust, as gRPC does: it need not be a root.

    Raises one of NOT_PEM where that holds no certificate.
    """
    made = ssl.SSLContext(protocol)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if trusted is not None:
        made.load_verify_locations(cadata=trusted.decode("ascii"))
        made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_TRUSTED_FIRST
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def show(made: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    """Have a context show a certificate; raises ssl.SSLError where key and certificate cannot be used together."""
    with _as_path(chain) as chain_path, _as_path(key) as key_path:
        # A key with a passphrase would otherwise be asked for on the terminal.
        made.load_cert_chain(chain_path, key_path, password=lambda: "")


@contextmanager
def _as_path(content: bytes) -> Iterator[str]:
    """Lend bytes as a file that is in memory only, because ssl takes keys from files alone."""
    with os.fdopen(os.memfd_create("pem"), "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"
