"""What a tenants file may say, what is told of one that is wrong, and how it is read again."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from orchestrator.tenant import Quotas, Role, Tenant
from orchestrator.tenants_file import TenantsFile, read_tenants
from paceline.api_key import api_key_digest
from paceline.errors import ConfigError
from tests.orchestrator.rig import until
from tests.orchestrator.tenant_rig import entry, key_entry, write_tenants

DIGEST = api_key_digest("some").hex()
ANN: Any = {"name": "ann", "api_keys": [{"sha256": DIGEST}]}


def reading(content: Any):
    return read_tenants(json.dumps(content).encode())


def test_yaml_is_read_with_all_that_it_says():
    directory = read_tenants(
        f"""
        tenants:
          - name: search.eu-1
            role: operator
            weight: 2.5
            api_keys:
              - sha256: {DIGEST.upper()}
                expires: 2027-01-31
              - sha256: {api_key_digest("other").hex()}
                expires: 2027-01-31T12:00:00+09:00
            quotas:
              max_sessions: 8
              requests_per_minute: 600
              tokens_per_minute: 200000
              max_tokens: 1024
        """.encode()
    )
    tenant = Tenant("search.eu-1", Role.OPERATOR, 2.5, Quotas(8, 600, 200_000, 1024))
    key, other = (directory.find(api_key_digest(one)) for one in ("some", "other"))
    assert key is not None
    assert other is not None
    assert (key.tenant, other.tenant) == (tenant, tenant)
    for one, moment in (
        (key, datetime(2027, 1, 31, tzinfo=UTC).timestamp()),
        (other, datetime(2027, 1, 31, 3, tzinfo=UTC).timestamp()),
    ):
        assert one.expires_at == moment
        assert one.is_expired(moment)
        assert not one.is_expired(moment - 1)


def test_what_a_tenant_leaves_out_is_without_a_limit():
    found = reading({"tenants": [ANN]}).find(api_key_digest("some"))
    assert found is not None
    assert found.tenant == Tenant("ann")
    assert not found.tenant.quotas.are_counted
    assert not found.is_expired(1e12)


def test_only_a_whole_digest_finds_a_key():
    directory = reading({"tenants": [ANN]})
    digest = api_key_digest("some")
    assert directory.find(digest[:8] + bytes(24)) is None
    assert directory.find(bytes(32)) is None


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({}, "tenants is missing"),
        ([], "the file must have fields"),
        ({"tenants": []}, "tenants: "),
        ({"tenants": [ANN], "tenant": 1}, "tenant is not known"),
        ({"tenants": [{**ANN, "name": "Ann"}]}, "tenants[0].name: "),
        ({"tenants": [{**ANN, "name": "a{b}"}]}, "tenants[0].name: "),
        ({"tenants": [{"name": "ann"}]}, "tenants[0].api_keys is missing"),
        ({"tenants": [{**ANN, "api_keys": []}]}, "tenants[0].api_keys: "),
        ({"tenants": [{**ANN, "role": "king"}]}, "tenants[0].role: "),
        ({"tenants": [{**ANN, "weight": 0}]}, "tenants[0].weight: "),
        ({"tenants": [{**ANN, "quota": {}}]}, "tenants[0].quota is not known"),
        ({"tenants": [{**ANN, "quotas": {"max_tokens": 0}}]}, "tenants[0].quotas.max_tokens: "),
        ({"tenants": [{**ANN, "quotas": {"max_token": 1}}]}, "tenants[0].quotas.max_token is not known"),
        (
            {"tenants": [ANN, {**ANN, "api_keys": [{"sha256": "0" * 64}]}]},
            "tenants[1].name is tenants[0].name",
        ),
        ({"tenants": [ANN, {**ANN, "name": "bob"}]}, "tenants[1].api_keys[0] is tenants[0].api_keys[0]"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(content, place):
    with pytest.raises(ConfigError) as caught:
        reading(content)
    assert caught.value.message.startswith(place), caught.value.message


@pytest.mark.parametrize(
    "content",
    [
        '{"tenants": [{"name": "ann", "api_keys": ["s3cret"]}]}',
        '{"tenants": [{"name": "ann", "api_keys": [{"sha256": "s3cret"}]}]}',
        '{"tenants": [{"name": "ann", "api_keys": [{"s3cret": ""}]}]}',
        '{"tenants": [{"name": "ann", "api_keys": [{"sha256": "s3cret"',
        "tenants:\n  - name: ann\n    api_keys: s3cret: s3cret",
    ],
)
def test_a_key_that_was_written_where_its_digest_belongs_is_in_no_message(content):
    with pytest.raises(ConfigError) as caught:
        read_tenants(content.encode())
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(caught.value.__cause__)


@pytest.mark.parametrize("content", [None, "tenants: ["])
def test_a_file_that_cannot_be_read_at_the_start_is_an_error_that_names_the_option(tmp_path: Path, content):
    path = tmp_path / "tenants"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        TenantsFile.load(path)
    assert caught.value.message.startswith(f"--tenants-file {path}: ")


async def test_a_changed_file_is_read_again_and_a_broken_one_keeps_the_last_good_one(tmp_path: Path):
    file = TenantsFile.load(write_tenants(tmp_path, entry("ann")))
    watching = asyncio.create_task(file.run(0.01))

    def has_only(name: str) -> bool:
        return {one.name for one in file.directory.tenants} == {name}

    with capture_logs() as lines:
        write_tenants(tmp_path, entry("bob", keys=(key_entry("k"),)))
        await until(lambda: has_only("bob"))
        (tmp_path / "tenants.yaml").write_text("tenants: [}")
        await until(lambda: any(line["event"] == "tenants_not_loaded" for line in lines))
        await asyncio.sleep(0.05)
        assert has_only("bob")
        (tmp_path / "tenants.yaml").unlink()
        await until(lambda: sum(line["event"] == "tenants_not_loaded" for line in lines) == 2)
        assert has_only("bob")
        write_tenants(tmp_path, entry("eve"))
        await until(lambda: has_only("eve"))
    watching.cancel()
    assert [line["event"] for line in lines] == [
        "tenants_loaded",
        "tenants_not_loaded",
        "tenants_not_loaded",
        "tenants_loaded",
    ]
    assert "line 1" in lines[1]["message"]


def test_who_may_continue_a_session():
    user, operator = Tenant("ann"), Tenant("ops", Role.OPERATOR)
    assert [user.may_continue(owner) for owner in ("ann", "bob", "")] == [True, False, False]
    assert [operator.may_continue(owner) for owner in ("ops", "ann", "")] == [True, False, True]
