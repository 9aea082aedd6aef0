"""A service behind TLS over real sockets: who gets in, what others are told, and certificates that are replaced."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.testing import capture_logs

from paceline.client.connection import PLAIN_TEXT, ConnectionSettings, handshake_failure
from paceline.client.errors import CallFailedError
from paceline.client.log_level import connect_to_logs
from paceline.errors import ConfigError
from paceline.security.handshake import HandshakeReason
from paceline.serving.config import ServiceConfig
from paceline.serving.server import ServiceServer
from paceline.serving.status import error_reason
from paceline.v1 import log_service_pb2 as log_messages
from paceline.v1.log_service_pb2_grpc import LogServiceStub
from tests.certificates import Authority, Issued, MountedSecret

NAME = "paceline-target"
CALLER = "paceline-orchestrator"
OURS, OTHERS = Authority(), Authority()
LIST_SERVICES = reflection_pb2.ServerReflectionRequest(list_services="")
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
def service(tmp_path: Path) -> MountedSecret:
    return MountedSecret(tmp_path / "service", OURS.issue(NAME))


@pytest.fixture
def caller(tmp_path: Path) -> MountedSecret:
    return MountedSecret(tmp_path / "caller", OURS.issue(CALLER))


@asynccontextmanager
async def serving(secret: MountedSecret | None, **options: Any) -> AsyncIterator[ServiceServer]:
    files = {} if secret is None else secret.options
    config = ServiceConfig(listen="127.0.0.1:0", replica_id="service-0", **files, **options)
    async with ServiceServer(config, [], asyncio.Event()) as server:
        yield server


def channel_to(server: ServiceServer, settings: ConnectionSettings) -> grpc.aio.Channel:
    """A channel with the files as they are now, and with a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", NAME)]
    address = f"127.0.0.1:{server.port}"
    if settings.ca_file is None:
        return grpc.aio.insecure_channel(address, options[:1])
    own = settings.own_files
    key, chain = (own.key.read_bytes(), own.certificate.read_bytes()) if own is not None else (None, None)
    credentials = grpc.ssl_channel_credentials(settings.ca_file.read_bytes(), key, chain)
    return grpc.aio.secure_channel(address, credentials, options)


async def answer(server: ServiceServer, settings: ConnectionSettings) -> str:
    """What a client hears: OK, or the reason of its failure and, behind a slash, what is wrong with TLS."""
    address = f"127.0.0.1:{server.port}"
    async with connect_to_logs(address, settings) as logs:
        try:
            await logs.level()
        except CallFailedError as error:
            failure = await handshake_failure(error, settings, 30.0)
            return error.call_reason if failure is None else f"{error.call_reason}/{failure.fault.reason}"
    return "OK"


async def health_at(port: int) -> int:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return (await stub.Check(health_pb2.HealthCheckRequest())).status


def reflection_of(channel: Any) -> Any:
    return reflection_pb2_grpc.ServerReflectionStub(channel)


def channelz_of(channel: Any) -> Any:
    return channelz_pb2_grpc.ChannelzStub(channel)


class TestWhoGetsIn:
    async def test_a_caller_with_a_certificate_of_the_authority(
        self, service: MountedSecret, caller: MountedSecret
    ) -> None:
        async with serving(service) as server:
            assert await answer(server, caller.connection(NAME)) == "OK"

    @pytest.mark.parametrize(
        ("issued", "expected"),
        [
            (OTHERS.issue(CALLER).trusting(OURS), HandshakeReason.OWN_CERTIFICATE_REFUSED),
            (OTHERS.issue(CALLER), HandshakeReason.CERTIFICATE_OF_ANOTHER_CA),
        ],
    )
    async def test_nobody_with_a_certificate_of_another_authority(
        self, tmp_path: Path, service: MountedSecret, issued: Issued, expected: HandshakeReason
    ) -> None:
        stranger = MountedSecret(tmp_path / "stranger", issued)
        async with serving(service) as server:
            assert await answer(server, stranger.connection(NAME)) == f"UNAVAILABLE/{expected}"

    async def test_nobody_without_a_certificate(self, service: MountedSecret, caller: MountedSecret) -> None:
        async with serving(service) as server:
            heard = await answer(server, caller.connection(NAME, is_named=False))
            assert heard == f"UNAVAILABLE/{HandshakeReason.OWN_CERTIFICATE_MISSING}"

    async def test_nobody_in_plain_text(self, service: MountedSecret) -> None:
        async with serving(service) as server:
            assert await answer(server, PLAIN_TEXT) == f"UNAVAILABLE/{HandshakeReason.TLS_REQUIRED}"

    async def test_nobody_whose_certificate_has_expired(self, tmp_path: Path, service: MountedSecret) -> None:
        late = MountedSecret(tmp_path / "late", OURS.issue_expired(CALLER))
        async with serving(service) as server:
            with pytest.raises(ConfigError, match="has expired"):
                await answer(server, late.connection(NAME))
            # One that looks at nothing is refused by the service.
            async with channel_to(server, late.connection()) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await LogServiceStub(channel).GetLogLevel(log_messages.GetLogLevelRequest())
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE

    async def test_a_client_refuses_a_service_of_another_name(
        self, service: MountedSecret, caller: MountedSecret
    ) -> None:
        async with serving(service) as server:
            heard = await answer(server, caller.connection("paceline-draft"))
            assert heard == f"UNAVAILABLE/{HandshakeReason.CERTIFICATE_OF_ANOTHER_NAME}"

    async def test_everybody_who_knows_the_authority_where_no_certificates_are_asked_for(
        self, service: MountedSecret, caller: MountedSecret
    ) -> None:
        async with serving(service, tls_clients="accept") as server:
            assert await answer(server, caller.connection(NAME, is_named=False)) == "OK"
            assert await answer(server, caller.connection(NAME)) == "OK"


class TestPeerNames:
    @pytest.mark.parametrize("patterns", [(CALLER,), ("other", CALLER), ("*.svc",)])
    async def test_a_caller_of_an_allowed_name_may_call(
        self, tmp_path: Path, service: MountedSecret, patterns: tuple[str, ...]
    ) -> None:
        caller = MountedSecret(tmp_path / "caller", OURS.issue(CALLER, "one.svc"))
        async with serving(service, tls_peer_names=patterns) as server:
            assert await answer(server, caller.connection(NAME)) == "OK"

    async def test_another_may_ask_for_the_health_and_nothing_else(
        self, service: MountedSecret, caller: MountedSecret
    ) -> None:
        async with (
            serving(service, tls_peer_names=("somebody-else",)) as server,
            channel_to(server, caller.connection()) as channel,
        ):
            with capture_logs() as lines:
                assert await answer(server, caller.connection(NAME)) == "PEER_NOT_ALLOWED"
            refused = next(line for line in lines if line["event"] == "peer_refused")
            assert refused["names"] == (CALLER,)
            reflection = reflection_of(channel)
            channels = channelz_of(channel)
            stream = reflection.ServerReflectionInfo(iter([LIST_SERVICES]))
            for call in (stream.read(), channels.GetServers(channelz_pb2.GetServersRequest())):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call
                assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
                found = error_reason(caught.value)
                assert (found.reason, found.metadata) == ("PEER_NOT_ALLOWED", {"names": CALLER})
            health: Any = health_pb2_grpc.HealthStub(channel)
            assert (await health.Check(health_pb2.HealthCheckRequest())).status == NOT_SERVING

    async def test_those_of_an_allowed_name_find_every_service_as_it_is(
        self, service: MountedSecret, caller: MountedSecret
    ) -> None:
        async with (
            serving(service, tls_peer_names=(CALLER,)) as server,
            channel_to(server, caller.connection()) as channel,
        ):
            reflection = reflection_of(channel)
            listed = await reflection.ServerReflectionInfo(iter([LIST_SERVICES])).read()
            names = [one.name for one in listed.list_services_response.service]
            assert "paceline.v1.LogService" in names
            channels = channelz_of(channel)
            assert (await channels.GetServers(channelz_pb2.GetServersRequest())).server


class TestHealthPort:
    async def test_it_serves_the_health_in_plain_text_and_nothing_else(self, service: MountedSecret) -> None:
        async with serving(service, health_listen="127.0.0.1:0") as server:
            assert server.health_port is not None
            assert await health_at(server.health_port) == NOT_SERVING
            async with grpc.aio.insecure_channel(f"127.0.0.1:{server.health_port}") as channel:
                reflection = reflection_of(channel)
                channels = channelz_of(channel)
                for call in (
                    LogServiceStub(channel).GetLogLevel(log_messages.GetLogLevelRequest()),
                    channels.GetServers(channelz_pb2.GetServersRequest()),
                    reflection.ServerReflectionInfo(iter([LIST_SERVICES])).read(),
                ):
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await call
                    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    async def test_its_health_is_the_service_s(self) -> None:
        async with serving(None, health_listen="127.0.0.1:0") as server:
            assert server.health_port is not None
            running = asyncio.create_task(server.serve())
            for port in (server.port, server.health_port):
                while await health_at(port) == NOT_SERVING:  # noqa: ASYNC110, it is asked over a socket
                    await asyncio.sleep(0.01)
            server.request_stop()
            await running
            assert await health_at(server.port) == await health_at(server.health_port) == NOT_SERVING


class TestRotation:
    async def test_a_stream_goes_on_and_new_connections_see_the_new_certificates(
        self, service: MountedSecret, caller: MountedSecret
    ) -> None:
        async with serving(service) as server, channel_to(server, caller.connection()) as old_channel:
            reflection = reflection_of(old_channel)
            stream = reflection.ServerReflectionInfo()
            await stream.write(LIST_SERVICES)
            first = await stream.read()
            service.replace(OTHERS.issue(NAME))
            async with channel_to(server, caller.connection()) as channel:
                with pytest.raises(grpc.aio.AioRpcError, match="CERTIFICATE_VERIFY_FAILED"):
                    await LogServiceStub(channel).GetLogLevel(log_messages.GetLogLevelRequest())
            caller.replace(OTHERS.issue(CALLER))
            assert await answer(server, caller.connection(NAME)) == "OK"
            await stream.write(LIST_SERVICES)
            assert await stream.read() == first
            await stream.done_writing()

    async def test_certificates_of_the_old_authority_are_refused_once_the_service_no_longer_knows_it(
        self, tmp_path: Path, service: MountedSecret, caller: MountedSecret
    ) -> None:
        issued = OURS.issue(NAME)
        stale = caller.connection(NAME)
        newer = MountedSecret(tmp_path / "newer", OTHERS.issue(CALLER).trusting(OURS))
        async with serving(service) as server:
            service.replace(issued.trusting(OURS, OTHERS))
            assert await answer(server, stale) == await answer(server, newer.connection(NAME)) == "OK"
            service.replace(issued.trusting(OTHERS))
            heard = await answer(server, stale)
            assert heard == f"UNAVAILABLE/{HandshakeReason.OWN_CERTIFICATE_REFUSED}"
            assert await answer(server, newer.connection(NAME)) == "OK"

    async def test_a_broken_pair_keeps_the_last_good_one(
        self, service: MountedSecret, caller: MountedSecret
    ) -> None:
        async with serving(service) as server:
            with capture_logs() as lines:
                service.replace(replace(OURS.issue(NAME), key=OURS.issue(NAME).key))
                for _ in range(2):
                    assert await answer(server, caller.connection(NAME)) == "OK"
            assert [line["event"] for line in lines].count("certificates_not_renewed") == 1
            service.replace(OTHERS.issue(NAME).trusting(OURS))
            heard = await answer(server, caller.connection(NAME))
            assert heard == f"UNAVAILABLE/{HandshakeReason.CERTIFICATE_OF_ANOTHER_CA}"

    async def test_a_client_that_stays_connected_takes_new_certificates_for_its_next_call(
        self, service: MountedSecret, caller: MountedSecret
    ) -> None:
        async with serving(service, tls_peer_names=("renamed",)) as server:
            address = f"127.0.0.1:{server.port}"
            async with connect_to_logs(address, caller.connection(NAME)) as logs:
                with pytest.raises(CallFailedError, match="PEER_NOT_ALLOWED"):
                    await logs.level()
                service.replace(OTHERS.issue(NAME))
                caller.replace(OTHERS.issue("renamed"))
                await logs.level()


class TestStart:
    async def test_a_service_does_not_begin_with_certificates_that_cannot_be_used(
        self, tmp_path: Path
    ) -> None:
        secret = MountedSecret(tmp_path / "service", OURS.issue_expired(NAME))
        with pytest.raises(ConfigError, match="has expired: renew it"):
            async with serving(secret):
                pass

    @pytest.mark.parametrize(("host", "is_warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
    async def test_plain_text_for_others_than_this_machine_is_warned_of(
        self, host: str, is_warned: bool
    ) -> None:
        config = ServiceConfig(listen=f"{host}:0", replica_id="service-0")
        with capture_logs() as lines:
            async with ServiceServer(config, [], asyncio.Event()):
                pass
        assert ("plain_text" in [line["event"] for line in lines]) is is_warned
