"""The overlays' certificates and keys at work: services begin with what their pods mount, and answer who may call."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from k8s.manifests import Manifest
from orchestrator.api_keys import ApiKeys
from orchestrator.authentication import Authentication
from orchestrator.config import OrchestratorConfig
from orchestrator.program import pools
from orchestrator.request_watch import OrchestratorWatch
from orchestrator.tenants_file import TenantsFile
from paceline.api_key import api_key_digest, new_api_key
from paceline.client.connection import ConnectionSettings, handshake_failure
from paceline.client.errors import CallFailedError
from paceline.client.log_level import connect_to_logs
from paceline.local.health import is_serving
from paceline.serving.config import ServiceConfig
from paceline.serving.server import ServiceServer
from paceline.telemetry.metrics import Metrics
from paceline.telemetry.setup import Telemetry
from paceline.v1.log_service_pb2 import GetLogLevelRequest
from paceline.v1.log_service_pb2_grpc import LogServiceStub
from tests.certificates import Issued, MountedSecret
from tests.k8s.cert_manager import CertManager
from tests.k8s.overlay import CONFIGS, SECURED, built, mounted_secrets, variables_of

POOLS = ("target", "draft")
TENANTS = "paceline-tenants"
ORCHESTRATOR = "paceline-orchestrator-tls"


@dataclass
class Pods:
    """The Secrets of an overlay on this machine, for each program where its pod would see them.

    Attributes:
        key: The API key of the one tenant, an operator.
    """

    manifests: list[Manifest]
    folder: Path
    manager: CertManager
    monkeypatch: pytest.MonkeyPatch
    key: str = field(default_factory=new_api_key)

    def config(self, program: str) -> Any:
        """What a program is configured with in its pod, but for addresses and where volumes lie."""
        folders = self._mounted(program)
        for name, value in variables_of(self.manifests, program).items():
            place = next((path for path in folders if value.startswith(f"{path}/")), "")
            self.monkeypatch.setenv(name, f"{folders[place]}{value[len(place) :]}" if place else value)
        config: ServiceConfig = CONFIGS[program]()  # pyright: ignore[reportCallIssue], from the environment
        assert config.health_listen is not None
        nearby = {"listen": "127.0.0.1:0", "health_listen": "127.0.0.1:0", "metrics_listen": None}
        return config.model_copy(update=nearby)

    def caller(self, issued: Issued, server_name: str, *, shows_it: bool = True) -> ConnectionSettings:
        """How somebody who has a Secret calls a service of a name."""
        secret = MountedSecret(self.folder / f"caller-{len(list(self.folder.iterdir()))}", issued)
        return secret.connection(server_name, is_named=shows_it)

    def _mounted(self, program: str) -> Mapping[str, Path]:
        """Lay the Secrets of a pod into folders; returns those by the path at which the container has them."""
        return {
            place: self._laid(self.folder / program / secret, secret)
            for place, secret in mounted_secrets(self.manifests, program).items()
        }

    def _laid(self, folder: Path, secret: str) -> Path:
        if secret in self.manager.secrets:
            MountedSecret(folder, self.manager.issue(secret))
        elif secret == TENANTS:
            folder.mkdir(parents=True)
            digest = api_key_digest(self.key).hex()
            (folder / "tenants.yaml").write_text(
                f"tenants: [{{name: ops, role: operator, api_keys: [{{sha256: {digest}}}]}}]"
            )
        return folder


@pytest.fixture
def pods(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pods:
    manifests = built(getattr(request, "param", "production"))
    return Pods(manifests, tmp_path, CertManager(manifests), monkeypatch)


@asynccontextmanager
async def serving(config: ServiceConfig, *guards: grpc.aio.ServerInterceptor) -> AsyncIterator[ServiceServer]:
    async with ServiceServer(config, [], asyncio.Event(), guards=guards) as server:
        running = asyncio.create_task(server.serve())
        yield server
        server.request_stop()
        await running


async def answer(server: ServiceServer, settings: ConnectionSettings) -> str:
    """What a caller hears: OK, or the reason of its failure and, behind a slash, what is wrong with TLS."""
    async with connect_to_logs(f"127.0.0.1:{server.port}", settings) as logs:
        try:
            await logs.level()
        except CallFailedError as error:
            failure = await handshake_failure(error, settings, 30.0)
            return error.call_reason if failure is None else f"{error.call_reason}/{failure.fault.reason}"
    return "OK"


async def status(server: ServiceServer, issued: Issued, server_name: str) -> grpc.StatusCode:
    """What a caller hears that uses a certificate for what it was not made for, which our own clients do not."""
    credentials = grpc.ssl_channel_credentials(issued.ca, issued.key, issued.chain)
    options = [("grpc.ssl_target_name_override", server_name), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", credentials, options) as channel:
        try:
            await LogServiceStub(channel).GetLogLevel(GetLogLevelRequest())
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("pods", SECURED, indirect=True)
@pytest.mark.parametrize("program", CONFIGS)
async def test_a_service_begins_with_what_its_pod_mounts_and_its_probes_need_no_certificate(
    pods: Pods, program: str
) -> None:
    config = pods.config(program)
    async with serving(config) as server:
        assert await is_serving(f"127.0.0.1:{server.health_port}")
        assert not await is_serving(f"127.0.0.1:{server.port}"), "in plain text"
    if isinstance(config, OrchestratorConfig):
        assert config.tenants_file is not None
        assert {one.name for one in TenantsFile.load(config.tenants_file).directory.tenants} == {"ops"}
        pools(config, "")  # its certificate is that of a client, too


@pytest.mark.parametrize("pool", POOLS)
async def test_a_pool_answers_orchestrators_and_nobody_else(pods: Pods, pool: str) -> None:
    name, issue = f"paceline-{pool}", pods.manager.issue
    async with serving(pods.config(pool)) as server:
        assert await answer(server, pods.caller(issue(ORCHESTRATOR), name)) == "OK"
        assert await status(server, issue(ORCHESTRATOR), name) is grpc.StatusCode.OK
        for other in POOLS:
            assert await status(server, issue(f"paceline-{other}-tls"), name) is grpc.StatusCode.UNAVAILABLE
        stranger = pods.caller(issue(ORCHESTRATOR, dnsNames=["paceline-console"]), name)
        assert await answer(server, stranger) == "PEER_NOT_ALLOWED"
        nobody = pods.caller(issue(ORCHESTRATOR), name, shows_it=False)
        assert await answer(server, nobody) == "UNAVAILABLE/OWN_CERTIFICATE_MISSING"


async def test_an_orchestrator_answers_those_who_know_its_authority_and_have_a_key(pods: Pods) -> None:
    config, name = pods.config("orchestrator"), "paceline-orchestrator.paceline.svc"
    assert config.tenants_file is not None
    refusals = OrchestratorWatch(Telemetry(Metrics()), 60.0).refusals
    guard = Authentication(ApiKeys(TenantsFile.load(config.tenants_file)), refusals)
    authority = pods.manager.issue(ORCHESTRATOR)
    async with serving(config, guard) as server:
        nameless = pods.caller(authority, name, shows_it=False)
        assert await answer(server, nameless) == "API_KEY_MISSING"
        known = ConnectionSettings(nameless.ca_file, server_name=name, api_key=pods.key)
        assert await answer(server, known) == "OK"
        assert await answer(server, ConnectionSettings(api_key=pods.key)) == "UNAVAILABLE/TLS_REQUIRED"


async def test_a_renewed_authority_and_the_one_before_believe_each_others_certificates(pods: Pods) -> None:
    before = pods.config("target")
    early = pods.manager.issue(ORCHESTRATOR)
    pods.manager.renew_authority()
    late = pods.manager.issue(ORCHESTRATOR)
    assert early.ca != late.ca
    async with serving(before) as server:
        assert await answer(server, pods.caller(late, "paceline-target")) == "OK"
    async with serving(pods.config("draft")) as server:
        assert await answer(server, pods.caller(early, "paceline-draft")) == "OK"
