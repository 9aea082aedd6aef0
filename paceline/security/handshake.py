"""Why a TLS connection cannot be made, which gRPC tells in words at best, and often not at all.

A gRPC server that refuses a client's certificate closes the connection without an alert, and its client hears "Socket
closed". So the handshake is made once more here, with the standard library, which says what it found.
"""

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from paceline.security.certificates import Certificates
from paceline.security.contexts import context, show
from paceline.security.verify_codes import OF_ANOTHER_CA, OF_ANOTHER_NAME, VerifyCode


class HandshakeReason(StrEnum):
    """What is wrong: with the other side's certificate, with the own one, or with TLS as such."""

    CERTIFICATE_EXPIRED = "CERTIFICATE_EXPIRED"
    CERTIFICATE_NOT_YET_VALID = "CERTIFICATE_NOT_YET_VALID"
    CERTIFICATE_OF_ANOTHER_CA = "CERTIFICATE_OF_ANOTHER_CA"
    CERTIFICATE_OF_ANOTHER_NAME = "CERTIFICATE_OF_ANOTHER_NAME"
    CERTIFICATE_INVALID = "CERTIFICATE_INVALID"
    OWN_CERTIFICATE_EXPIRED = "OWN_CERTIFICATE_EXPIRED"
    OWN_CERTIFICATE_MISSING = "OWN_CERTIFICATE_MISSING"
    OWN_CERTIFICATE_REFUSED = "OWN_CERTIFICATE_REFUSED"
    TLS_NOT_SPOKEN = "TLS_NOT_SPOKEN"
    TLS_REQUIRED = "TLS_REQUIRED"


class HandshakeFault(NamedTuple):
    """Why a handshake fails: a word for machines and a sentence for people."""

    reason: HandshakeReason
    message: str


async def handshake_fault(
    address: str, certificates: Certificates | None, server_name: str | None, timeout_seconds: float
) -> HandshakeFault | None:
    """Return why a client with these certificates, or with plain text, cannot talk to HOST:PORT or unix:PATH.

    None where it can, where nobody listens, and where no answer comes in time.
    """
    with suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(timeout_seconds):
            if certificates is None:
                return await _fault_of_plain_text(address)
            return await _fault_of_tls(address, certificates, server_name)
    return None


async def _fault_of_plain_text(address: str) -> HandshakeFault | None:
    try:
        await _first_byte(address, context(ssl.PROTOCOL_TLS_CLIENT, trusted=None), _host(address))
    except ssl.SSLError:
        return None
    return HandshakeFault(HandshakeReason.TLS_REQUIRED, f"{address} speaks TLS, and we speak plain text")


async def _fault_of_tls(
    address: str, certificates: Certificates, server_name: str | None
) -> HandshakeFault | None:
    name = server_name or _host(address)
    try:
        if await _first_byte(address, _client_context(certificates), name):
            return None
    except ssl.SSLCertVerificationError as error:
        return _fault_of_certificate(address, name, error)
    except ssl.SSLError as error:
        if "ALERT" not in (error.reason or ""):
            return HandshakeFault(
                HandshakeReason.TLS_NOT_SPOKEN, f"{address} speaks no TLS that we understand ({error.reason})"
            )
    return _fault_of_ours(address, certificates)


async def _first_byte(address: str, made: ssl.SSLContext, name: str) -> bytes:
    """Return the first byte that a server sends after the handshake: none where it has closed the connection."""
    made.set_alpn_protocols(["h2"])
    if address.startswith("unix:"):
        opened = asyncio.open_unix_connection(address.removeprefix("unix:"), ssl=made, server_hostname=name)
    else:
        opened = asyncio.open_connection(_host(address), _port(address), ssl=made, server_hostname=name)
    reader, writer = await opened
    try:
        return await reader.read(1)
    finally:
        writer.close()


def _client_context(certificates: Certificates) -> ssl.SSLContext:
    made = context(ssl.PROTOCOL_TLS_CLIENT, certificates.ca)
    made.check_hostname = True
    if certificates.own is not None:
        show(made, certificates.own.chain, certificates.own.key)
    return made


def _fault_of_certificate(address: str, name: str, error: ssl.SSLCertVerificationError) -> HandshakeFault:
    code = error.verify_code
    if code == VerifyCode.EXPIRED:
        reason, message = HandshakeReason.CERTIFICATE_EXPIRED, "has expired"
    elif code == VerifyCode.NOT_YET_VALID:
        reason, message = HandshakeReason.CERTIFICATE_NOT_YET_VALID, "is not valid yet"
    elif code in OF_ANOTHER_NAME:
        reason, message = HandshakeReason.CERTIFICATE_OF_ANOTHER_NAME, f"is not for {name}"
    elif code in OF_ANOTHER_CA:
        reason, message = HandshakeReason.CERTIFICATE_OF_ANOTHER_CA, "is of an authority that we do not know"
    else:
        reason, message = HandshakeReason.CERTIFICATE_INVALID, f"is not valid: {error.verify_message}"
    return HandshakeFault(reason, f"the certificate of {address} {message}")


def _fault_of_ours(address: str, certificates: Certificates) -> HandshakeFault:
    own = certificates.own
    if own is None:
        reason = HandshakeReason.OWN_CERTIFICATE_MISSING
        return HandshakeFault(reason, f"{address} wants a client certificate, and we have none")
    if own.expires_at < datetime.now(UTC):
        return HandshakeFault(HandshakeReason.OWN_CERTIFICATE_EXPIRED, "our own certificate has expired")
    reason = HandshakeReason.OWN_CERTIFICATE_REFUSED
    return HandshakeFault(reason, f"{address} does not accept our certificate; it may know another authority")


def _host(address: str) -> str:
    """Return the host to connect to, or what gRPC takes for the name of a socket file."""
    return "localhost" if address.startswith("unix:") else address.rpartition(":")[0].strip("[]")


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
