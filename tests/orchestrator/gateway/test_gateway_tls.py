"""HTTP behind TLS, from files that are replaced while it is served."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from orchestrator.config import OrchestratorConfig
from orchestrator.gateway.connection import connection_of
from orchestrator.gateway.guard import GuardedApp
from orchestrator.gateway.http_watch import HttpWatch
from orchestrator.gateway.refusing import JsonResponse, RefusingApp
from orchestrator.gateway.server import GatewayServer
from paceline.errors import ConfigError
from paceline.telemetry.metrics import Metrics
from paceline.telemetry.tracer import OFF
from tests.certificates import Authority, Issued, MountedSecret


async def tell_names(scope, receive, send) -> None:
    """Answer with the names in the client's certificate."""
    await JsonResponse({"names": connection_of(scope).peer_names})(scope, receive, send)


@asynccontextmanager
async def serving_tls(secret: MountedSecret, **settings) -> AsyncIterator[GatewayServer]:
    config = OrchestratorConfig(
        listen="127.0.0.1:0",
        http_listen="127.0.0.1:0",
        target_addresses=("127.0.0.1:1",),
        redis_url="redis://127.0.0.1",
        model="unused",
        **secret.options,
        **settings,
    )
    draining = asyncio.Event()
    app = GuardedApp(tell_names, draining, config.tls_peer_names, is_for_this_machine=False)
    watch = HttpWatch(Metrics(), OFF, 60.0)
    async with GatewayServer(config, RefusingApp(app), watch, draining) as server:
        yield server


def trusting(
    authority: Authority, own: Issued | None = None, directory: Path | None = None
) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=authority.pem.decode())
    if own is not None and directory is not None:
        (directory / "own.pem").write_bytes(own.key + own.chain)
        context.load_cert_chain(directory / "own.pem")
    return context


async def certificate_at(
    server: GatewayServer, context: ssl.SSLContext, name: str | None = "localhost"
) -> bytes:
    """The certificate that a new connection gets to see; without a name it sends none."""
    context.check_hostname = name is not None
    _, writer = await asyncio.open_connection(
        "127.0.0.1", server.port, ssl=context, server_hostname=name or ""
    )
    try:
        return writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.close()


async def names_seen(server: GatewayServer, context: ssl.SSLContext) -> httpx.Response:
    async with httpx.AsyncClient(verify=context, trust_env=False) as client:
        return await client.get(f"https://localhost:{server.port}/")


async def test_new_connections_have_the_newest_certificate_and_old_ones_go_on(tmp_path):
    old, new = Authority(), Authority()
    secret = MountedSecret(tmp_path / "tls", old.issue("localhost"))
    async with (
        serving_tls(secret) as server,
        httpx.AsyncClient(verify=trusting(old), trust_env=False) as client,
    ):
        url = f"https://localhost:{server.port}/"
        assert (await client.get(url)).is_success
        first = await certificate_at(server, trusting(old))
        assert first == await certificate_at(server, trusting(old))
        secret.replace(old.issue("localhost"))
        second = await certificate_at(server, trusting(old))
        assert second != first
        secret.replace(new.issue("localhost"))
        with pytest.raises(ssl.SSLCertVerificationError):
            await certificate_at(server, trusting(old))
        third = await certificate_at(server, trusting(new))
        assert third not in {first, second}
        assert (await client.get(url)).is_success  # over the connection that it has


async def test_a_client_that_names_no_host_gets_the_newest_certificate_too(tmp_path):
    authority = Authority()
    secret = MountedSecret(tmp_path / "tls", authority.issue("localhost"))
    async with serving_tls(secret) as server:
        first = await certificate_at(server, trusting(authority), None)
        secret.replace(authority.issue("localhost"))
        assert await certificate_at(server, trusting(authority), None) != first


async def test_where_certificates_are_required_nobody_comes_in_without_one_of_an_allowed_name(tmp_path):
    authority, stranger = Authority(), Authority()
    secret = MountedSecret(tmp_path / "tls", authority.issue("localhost"))
    settings = {"tls_clients": "require", "tls_peer_names": ("*.clients",)}
    async with serving_tls(secret, **settings) as server:
        for own in (None, stranger.issue("a.clients")):
            with pytest.raises((httpx.HTTPError, ssl.SSLError)):
                await names_seen(server, trusting(authority, own, tmp_path))
        allowed = await names_seen(server, trusting(authority, authority.issue("a.clients"), tmp_path))
        refused = await names_seen(server, trusting(authority, authority.issue("a.others"), tmp_path))
        secret.replace(authority.issue("localhost").trusting(stranger))
        renewed = await names_seen(server, trusting(authority, stranger.issue("b.clients"), tmp_path))
    assert allowed.json() == {"names": ["a.clients"]}
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "PEER_NOT_ALLOWED")
    assert renewed.json() == {"names": ["b.clients"]}


async def test_an_address_that_is_taken_is_said_at_the_start(tmp_path):
    secret = MountedSecret(tmp_path / "tls", Authority().issue("localhost"))
    async with serving_tls(secret) as server:
        with pytest.raises(ConfigError, match="--http-listen"):
            async with serving_tls_at(f"127.0.0.1:{server.port}"):
                pass


@asynccontextmanager
async def serving_tls_at(address: str) -> AsyncIterator[None]:
    config = OrchestratorConfig(
        listen="127.0.0.1:0",
        http_listen=address,
        target_addresses=("127.0.0.1:1",),
        redis_url="redis://127.0.0.1",
        model="unused",
    )
    async with GatewayServer(config, tell_names, HttpWatch(Metrics(), OFF, 60.0), asyncio.Event()):
        yield
