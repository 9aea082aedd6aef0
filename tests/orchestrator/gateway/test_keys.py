"""Keys, roles and quotas over HTTP are those of gRPC, and a page for everybody says nothing of a tenant."""

import openai
import pytest
from structlog.testing import capture_logs

from tests.orchestrator.gateway.gateway_rig import HttpRig, error_of, serving_http
from tests.orchestrator.rig import draft, target
from tests.orchestrator.tenant_rig import counted, entry, write_tenants

OPEN = ("/health", "/openapi.json")
FOR_USERS = ("/v1/models", "/v1/models/scripted")
FOR_OPERATORS = ("/metrics", "/paceline/v1/status")


@pytest.fixture
async def rig(redis, tmp_path):
    tenants = write_tenants(
        tmp_path,
        entry("ann", quotas={"requests_per_minute": 4, "max_tokens": 100}),
        entry("bob", quotas={"max_tokens": 50}),
        entry("ops", role="operator"),
    )
    async with serving_http(redis.url, [target(), draft()], tenants_file=tenants) as rig:
        yield rig


async def status_of(rig: HttpRig, path: str, key: str | None) -> tuple[int, str]:
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    response = await rig.http.get(path, headers=headers)
    return response.status_code, "" if response.is_success else response.json()["error"]["code"]


async def test_a_page_needs_the_key_of_a_tenant_that_may_see_it(rig):
    with capture_logs() as lines:
        for path in OPEN:
            assert await status_of(rig, path, None) == (200, "")
        for path in (*FOR_USERS, *FOR_OPERATORS):
            assert await status_of(rig, path, None) == (401, "API_KEY_MISSING")
            assert await status_of(rig, path, "wrong") == (401, "API_KEY_INVALID")
            assert await status_of(rig, path, "key-of-ops") == (200, "")
        for path in FOR_USERS:
            assert await status_of(rig, path, "key-of-ann") == (200, "")
        for path in FOR_OPERATORS:
            assert await status_of(rig, path, "key-of-ann") == (403, "ROLE_NOT_ALLOWED")
    refused = await rig.post("/v1/completions", {"prompt": "x" * 5_000_000})
    assert error_of(refused) == (401, "authentication_error", "API_KEY_MISSING", None)  # nothing was read
    assert refused.headers["www-authenticate"] == "Bearer"
    assert counted(rig.rig, "paceline.refused_calls") == {
        ("", "API_KEY_MISSING"): 5,
        ("", "API_KEY_INVALID"): 4,
        ("ann", "ROLE_NOT_ALLOWED"): 2,
    }
    assert any(line["event"] == "call_refused" and line["method"] == "/v1/models" for line in lines)
    assert not any(key in repr(lines) for key in ("wrong", "key-of"))


async def test_quotas_hold_and_say_when_to_come_again(rig):
    client = rig.openai_with("key-of-ann")
    for _ in range(4):
        await client.completions.create(model="scripted", prompt="x", max_tokens=2)
    with pytest.raises(openai.RateLimitError) as caught:
        await client.completions.create(model="scripted", prompt="x", max_tokens=2)
    assert caught.value.code == "QUOTA_EXCEEDED"
    assert 1 <= int(caught.value.response.headers["retry-after"]) <= 62
    other = await rig.openai_with("key-of-bob").completions.create(model="scripted", prompt="x", max_tokens=2)
    assert other.choices
    spent = counted(rig.rig, "paceline.tenant_tokens")
    assert (spent["ann", "generated"], spent["bob", "generated"]) == (8, 2)


async def test_a_tenants_limits_are_its_own_and_its_sessions_too(rig):
    ann, bob = rig.openai_with("key-of-ann"), rig.openai_with("key-of-bob")
    limits = {
        name: (await client.models.retrieve("scripted")).model_extra["paceline"]["limits"]["max_tokens"]
        for name, client in (("ann", ann), ("bob", bob))
    }
    assert limits == {"ann": 100, "bob": 50}
    whole = await bob.chat.completions.create(model="scripted", messages=[{"role": "user", "content": "x"}])
    assert whole.usage.completion_tokens == 50
    token = whole.model_extra["paceline"]["rollback_token"]
    continuation = {"continuation": {"mode": "fork", "rollback_token": token}}
    with pytest.raises(openai.NotFoundError) as caught:
        await ann.chat.completions.create(
            model="scripted", messages=[], max_tokens=2, extra_body={"paceline": continuation}
        )
    assert caught.value.code == "SESSION_NOT_FOUND"
