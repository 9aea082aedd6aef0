"""What a gateway tells besides texts: the model, the pools, metrics and spans."""

import asyncio

import httpx
import pytest
from structlog.testing import capture_logs

from orchestrator.gateway.http_watch import HttpWatch, WatchedApp, call_of
from orchestrator.gateway.message_json import plain
from orchestrator.gateway.refusing import JsonResponse, RefusingApp
from paceline.telemetry.metrics import Metrics
from paceline.telemetry.tracer import FinishedSpan, SpanKind, Tracer
from paceline.v1 import orchestrator_service_pb2 as messages
from paceline.v1 import status_service_pb2

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.asyncio(loop_scope="session")
async def test_the_pools_are_told_with_words_and_numbers(rig):
    await rig.post("/v1/completions", {"prompt": "x", "max_tokens": 5})
    status = (await rig.http.get("/paceline/v1/status")).json()
    (target,), (draft,) = status["targets"], status["drafts"]
    assert (target["replica"]["state"], draft["replica"]["state"]) == ("ready", "ready")
    assert target["replica"]["model"]["name"] == "scripted"
    assert isinstance(status["totals"]["num_generations"], int)
    assert status["totals"]["num_finished_generations"]["length"] >= 1
    assert not status["is_draining"]


@pytest.mark.asyncio(loop_scope="session")
async def test_the_registry_has_requests_by_route_and_status(rig):
    await rig.http.get("/v1/models/scripted")
    await rig.http.get("/v1/models/other")
    await rig.http.request("BREW", "/coffee")
    page = (await rig.http.get("/metrics")).text
    count = "http_server_request_duration_seconds_count"
    for method, route, status in (
        ("GET", "/v1/models/{model}", 200),
        ("GET", "/v1/models/{model}", 404),
        ("_OTHER", "", 404),
    ):
        labels = f'http_request_method="{method}",http_response_status_code="{status}",http_route="{route}"'
        assert any(
            line.startswith(count) and all(label in line for label in labels.split(","))
            for line in page.splitlines()
        ), labels
    assert "http_server_active_requests 1.0" in page
    assert "paceline_spec_decode_num_drafts_total" in page


def test_messages_are_plain_data_of_which_no_number_is_a_text():
    gone = status_service_pb2.ReplicaStatus(address="a:1", state=status_service_pb2.REPLICA_STATE_GONE)
    message = status_service_pb2.GetStatusResponse(
        totals=status_service_pb2.OrchestratorTotals(num_generations=1 << 40, num_failovers={"DRAINING": 2}),
        drafts=[status_service_pb2.DraftStatus(replica=gone)],
    )
    found = plain(message)
    assert found["totals"]["num_generations"] == 1 << 40
    assert found["totals"]["num_failovers"] == {"DRAINING": 2}
    assert found["drafts"][0]["replica"]["state"] == "gone"
    assert "redis_seconds" not in found
    token = messages.GeneratedToken(id=1, origin=messages.TOKEN_ORIGIN_BONUS)
    assert plain(token) == {"id": 1, "text": "", "origin": "bonus", "alternatives": []}


async def test_a_request_is_a_span_of_its_callers_trace_and_lines_in_the_log_have_its_id():
    spans: list[FinishedSpan] = []
    watch = HttpWatch(Metrics(), Tracer(spans.append, ratio=0.0), slow_seconds=60.0)

    async def answer(scope, receive, send) -> None:
        call_of(scope).route = scope["path"]
        if scope["path"] == "/defect":
            raise ValueError("a secret")
        await JsonResponse({})(scope, receive, send)

    app = WatchedApp(RefusingApp(answer), watch)
    headers = {"x-request-id": "mine", "traceparent": f"00-{TRACE}-{SPAN}-01"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        with capture_logs() as lines:
            await client.get("/page", headers=headers)
            unsampled = await client.get("/page")
            failed = await asyncio.create_task(client.get("/defect"))
    assert (unsampled.status_code, failed.status_code) == (200, 500)
    sampled, defect = spans  # a failure is kept in any case
    assert (sampled.name, sampled.kind, sampled.error) == ("GET /page", SpanKind.SERVER, "")
    assert sampled.context.trace_id_hex == TRACE
    assert sampled.parent is not None
    assert f"{sampled.parent.span_id:016x}" == SPAN
    assert sampled.attributes["paceline.request_id"] == "mine"
    assert (defect.name, defect.error) == ("GET /defect", "500")
    assert {line["status"] for line in lines if line["event"] == "http_request"} == {200, 500}
