"""Why there is no TLS connection, as the standard library sees it, with gRPC at the other end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import socket

import grpc
import grpc.aio
import pytest

from paceline.local.listen_address import free_ports
from paceline.security.certificate_reading import read_certificates
from paceline.security.certificates import Certificates, Role
from paceline.security.handshake import HandshakeReason, handshake_fault
from tests.certificates import Authority, Issued, MountedSecret

OURS, OTHERS = Authority(), Authority()
SERVER = OURS.issue("paceline-target", "127.0.0.1")
CLIENT = OURS.issue("paceline-orchestrator")
PATIENCE_SECONDS = 30.0


@asynccontextmanager
async def serving(issued: Issued | None, *, asks: bool = True) -> AsyncIterator[str]:
    """A gRPC server without any service; plain text where it has no certificate."""
    server = grpc.aio.server()
    if issued is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        credentials = grpc.ssl_server_credentials([(issued.key, issued.chain)], issued.ca, asks)
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def certificates(directory: Path, issued: Issued) -> Certificates:
    return read_certificates(MountedSecret(directory / "secret", issued).files, Role.CLIENT)


async def reason(
    address: str, shown: Certificates | None, name: str | None = "paceline-target"
) -> str | None:
    fault = await handshake_fault(address, shown, name, PATIENCE_SECONDS)
    return None if fault is None else fault.reason


@pytest.mark.parametrize("name", ["paceline-target", None])
async def test_nothing_is_wrong_with_what_fits(tmp_path: Path, name: str | None) -> None:
    async with serving(SERVER) as address:
        assert await reason(address, certificates(tmp_path, CLIENT), name) is None


@pytest.mark.parametrize(
    ("server", "client", "name", "expected"),
    [
        (SERVER, CLIENT, "paceline-draft", HandshakeReason.CERTIFICATE_OF_ANOTHER_NAME),
        (OURS.issue("paceline-target"), CLIENT, None, HandshakeReason.CERTIFICATE_OF_ANOTHER_NAME),
        (
            OURS.issue_expired("paceline-target"),
            CLIENT,
            "paceline-target",
            HandshakeReason.CERTIFICATE_EXPIRED,
        ),
        (
            OTHERS.issue("paceline-target"),
            CLIENT,
            "paceline-target",
            HandshakeReason.CERTIFICATE_OF_ANOTHER_CA,
        ),
        (
            SERVER,
            OTHERS.issue("paceline-orchestrator").trusting(OURS),
            "paceline-target",
            HandshakeReason.OWN_CERTIFICATE_REFUSED,
        ),
        (None, CLIENT, "paceline-target", HandshakeReason.TLS_NOT_SPOKEN),
    ],
)
async def test_what_is_wrong_is_named(
    tmp_path: Path, server: Issued | None, client: Issued, name: str | None, expected: HandshakeReason
) -> None:
    async with serving(server) as address:
        assert await reason(address, certificates(tmp_path, client), name) is expected


async def test_a_certificate_that_is_missing_or_has_expired_since_is_told_from_a_foreign_one(
    tmp_path: Path,
) -> None:
    shown = certificates(tmp_path, OTHERS.issue("paceline-orchestrator").trusting(OURS))
    assert shown.own is not None
    expired = replace(shown.own, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    async with serving(SERVER) as address:
        assert await reason(address, replace(shown, own=None)) is HandshakeReason.OWN_CERTIFICATE_MISSING
        assert await reason(address, replace(shown, own=expired)) is HandshakeReason.OWN_CERTIFICATE_EXPIRED


@pytest.mark.parametrize("asks", [True, False])
async def test_plain_text_to_a_server_with_tls_is_noticed(asks: bool) -> None:
    async with serving(SERVER, asks=asks) as address:
        assert await reason(address, None, None) is HandshakeReason.TLS_REQUIRED


async def test_where_nobody_listens_or_answers_tls_is_not_to_blame(tmp_path: Path) -> None:
    shown = certificates(tmp_path, CLIENT)
    (port,) = free_ports(1)
    assert await reason(f"127.0.0.1:{port}", shown) is None
    assert await reason("dns:///orchestrator", shown) is None
    with socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert await handshake_fault(address, shown, None, 0.05) is None
    async with serving(None) as address:
        assert await reason(address, None, None) is None
