"""A gateway in front of the orchestrator of the rig, and clients of it."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from openai import AsyncOpenAI

from orchestrator.gateway.generating import Core
from orchestrator.gateway.server import GatewayServer
from orchestrator.program import gateway
from orchestrator.tenant import Tenant
from paceline.telemetry.setup import Telemetry
from paceline.v1 import orchestrator_service_pb2 as messages
from tests.orchestrator.byte_tokenizer import byte_tokenizer
from tests.orchestrator.gateway.scripted_core import TOOL_TEMPLATE, ScriptedCore
from tests.orchestrator.rig import Rig, orchestrating
from tests.orchestrator.scripted_replicas import ScriptedDraft, ScriptedTarget


class SwitchedCore:
    """The orchestrator's own core, or for a while another one."""

    def __init__(self, core: Core) -> None:
        self.now = core

    def model(self, tenant: Tenant) -> messages.OrchestratorServiceGetModelResponse:
        return self.now.model(tenant)

    def generate(
        self,
        request: messages.GenerateRequest,
        tenant: Tenant,
        metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> AsyncGenerator[messages.GenerateResponse]:
        return self.now.generate(request, tenant, metadata)


@dataclass
class HttpRig:
    """A running gateway; `http` and `openai` call it."""

    rig: Rig
    server: GatewayServer
    url: str
    http: httpx.AsyncClient
    core: SwitchedCore
    key: str

    @property
    def openai(self) -> AsyncOpenAI:
        return self.openai_with(self.key)

    def openai_with(self, key: str) -> AsyncOpenAI:
        """OpenAI's client with a key."""
        http: Any = self.http  # its types name a successor of httpx, which need not be installed
        return AsyncOpenAI(
            base_url=f"{self.url}/v1", api_key=key or "none", max_retries=0, timeout=60, http_client=http
        )

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return await self.http.post(path, json=body, headers=headers)

    @contextmanager
    def writing(self, core: ScriptedCore) -> Iterator[ScriptedCore]:
        """Have another core answer for as long as the block runs."""
        before, self.core.now = self.core.now, core
        try:
            yield core
        finally:
            self.core.now = before


@asynccontextmanager
async def serving_http(
    redis_url: str, services: Sequence[ScriptedTarget | ScriptedDraft], key: str = "", **settings
) -> AsyncIterator[HttpRig]:
    """Serve replicas, an orchestrator in front of them and its gateway; `settings` are options of the orchestrator."""
    options = {"http_listen": "127.0.0.1:0", **settings}
    # Its template teaches tools, which the core's own does not.
    tokenizer = byte_tokenizer(TOOL_TEMPLATE)
    async with orchestrating(redis_url, services, **options) as rig:
        surroundings, core = rig.surroundings, SwitchedCore(rig.orchestration)
        told = Telemetry(surroundings.watch.metrics._metrics, surroundings.watch.tracer)
        async with gateway(surroundings, core, tokenizer, told, rig.draining) as server:
            assert server is not None
            scheme = "https" if options.get("tls_key_file") else "http"
            url = f"{scheme}://127.0.0.1:{server.port}"
            headers = {"authorization": f"Bearer {key}"} if key else {}
            async with httpx.AsyncClient(
                base_url=url, headers=headers, timeout=60, trust_env=False, verify=False
            ) as http:
                yield HttpRig(rig, server, url, http, core, key)


def error_of(response: httpx.Response) -> tuple[int, str, str, str | None]:
    """The status, type, code and parameter of a refusal."""
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return response.status_code, error["type"], error["code"], error["param"]
