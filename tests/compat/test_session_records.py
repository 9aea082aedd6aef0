"""Records of sessions that another release has written: read, gone on with, and listed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paceline.client.generation import Continuation, ContinuationMode, GenerationRequest
from paceline.local.redis_server import RedisServer
from tests.compat.recorded_session import MAX_TOKENS, PROMPT, RECORDS, RecordedSession, record
from tests.orchestrator.rig import draft, orchestrating, target
from tests.orchestrator.scripted_model import continuation

OLD = sorted(RECORDS.glob("*.json"))


async def check_goes_on(recorded: RecordedSession, url: str) -> None:
    """Resume a session here: no token is missing, none comes twice, and operators see it."""
    await recorded.restore(url)
    async with orchestrating(url, [target(), draft()]) as rig:
        listed = await rig.store.list_sessions(None, 10)
        assert [one.session_id for one in listed.sessions] == [recorded.session_id]
        request = GenerationRequest(
            None, continuation=Continuation(recorded.rollback_token, ContinuationMode.RESUME)
        )
        completion = await rig.client.complete(request)
    expected = continuation(PROMPT, MAX_TOKENS)[recorded.num_received :]
    assert list(completion.token_ids) == expected


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
async def test_a_session_of_an_older_release_goes_on(path: Path, redis: RedisServer) -> None:
    await check_goes_on(RecordedSession.read(path), redis.url)


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
async def test_a_session_of_a_newer_release_goes_on_without_what_is_unknown_here(
    path: Path, redis: RedisServer
) -> None:
    recorded = RecordedSession.read(path)
    state = recorded.state | {"of_a_newer_release": "1"}
    for field in ("sampling", "task"):
        state[field] = json.dumps(with_unknown(json.loads(state[field])))
    await check_goes_on(replace(recorded, state=state), redis.url)


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
async def test_an_older_release_finds_all_its_fields_in_a_record_of_today(
    path: Path, redis: RedisServer
) -> None:
    older, today = RecordedSession.read(path).state, (await record(redis.url)).state
    assert shape(older).items() <= shape(today).items()
    for field in ("sampling", "task"):
        assert is_part(json.loads(older[field]), json.loads(today[field])), field


def with_unknown(value: Any) -> Any:
    """Add a field to every object of a JSON value."""
    if not isinstance(value, dict):
        return value
    return {name: with_unknown(one) for name, one in value.items()} | {"of_a_newer_release": [1]}


def shape(state: dict[str, str]) -> dict[str, bool]:
    """The fields of a hash, and whether each is a number."""
    return {name: value.isdecimal() for name, value in state.items()}


def is_part(older: Any, today: Any) -> bool:
    """Whether a JSON value has every member that another one has, and of its kind."""
    if isinstance(older, dict):
        return isinstance(today, dict) and all(
            name in today and is_part(value, today[name]) for name, value in older.items()
        )
    return isinstance(today, type(older))
