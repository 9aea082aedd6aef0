"""What can be asked besides texts: the model, the health, metrics, and how the pools are."""

import asyncio
import time

from starlette.requests import Request
from starlette.responses import Response

from orchestrator.gateway.generating import Core
from orchestrator.gateway.message_json import plain
from orchestrator.gateway.openapi import description
from orchestrator.gateway.refusing import JsonResponse
from orchestrator.gateway.served_model import check_name, model_page
from orchestrator.generation import Surroundings
from orchestrator.status_servicer import StatusServicer
from orchestrator.tenant import Tenant
from paceline.telemetry.metrics import Metrics


class Pages:
    """Answers the questions."""

    def __init__(
        self,
        core: Core,
        surroundings: Surroundings,
        status: StatusServicer,
        metrics: Metrics,
        draining: asyncio.Event,
    ) -> None:
        self._core = core
        self._surroundings = surroundings
        self._status = status
        self._metrics = metrics
        self._draining = draining
        self._started_at = int(time.time())

    async def models(self, request: Request, tenant: Tenant) -> Response:
        """Answer `GET /v1/models`; while no target is ready nothing is served."""
        if not self._surroundings.targets.descriptions:
            return JsonResponse({"object": "list", "data": []})
        page = model_page(self._core.model(tenant), self._started_at)
        return JsonResponse({"object": "list", "data": [page]})

    async def model(self, request: Request, tenant: Tenant) -> Response:
        """Answer `GET /v1/models/NAME`."""
        answer = self._core.model(tenant)
        check_name(request.path_params["model"], answer.target)
        return JsonResponse(model_page(answer, self._started_at))

    async def health(self, request: Request, tenant: Tenant) -> Response:
        """Answer `GET /health`: 200 where a generation could begin now, else 503, and why."""
        reasons = self._reasons()
        content = {"status": "not_ready" if reasons else "ready", "reasons": reasons}
        return JsonResponse(content, 503 if reasons else 200, {"cache-control": "no-store"})

    async def metrics(self, request: Request, tenant: Tenant) -> Response:
        """Answer `GET /metrics`."""
        from paceline.telemetry.prometheus import CONTENT_TYPE, metrics_page  # noqa: PLC0415, seldom needed

        return Response(metrics_page(self._metrics), headers={"content-type": CONTENT_TYPE})

    async def status(self, request: Request, tenant: Tenant) -> Response:
        """Answer `GET /paceline/v1/status`."""
        return JsonResponse(plain(await self._status.status()), headers={"cache-control": "no-store"})

    async def openapi(self, request: Request, tenant: Tenant) -> Response:
        """Answer `GET /openapi.json`."""
        return JsonResponse(description(has_keys=self._surroundings.tenants is not None))

    def _reasons(self) -> list[str]:
        """Return why no generation could begin, by the reasons that one would be refused with."""
        here = self._surroundings
        found = {
            "DRAINING": self._draining.is_set(),
            "NO_TARGET_REPLICA": not here.targets.descriptions,
            "SESSION_STORE_UNAVAILABLE": here.signer.key is None,
        }
        return [reason for reason, is_so in found.items() if is_so]
