"""What cannot be served is refused in OpenAI's shape, with the parameter, and reaches no replica."""

import json

import openai
import pytest
from structlog.testing import capture_logs

from orchestrator.errors import SessionCancelledError
from paceline.serving.errors import DrainingError, StaleEpochError
from tests.orchestrator.gateway.gateway_rig import error_of
from tests.orchestrator.gateway.scripted_core import ScriptedCore

pytestmark = pytest.mark.asyncio(loop_scope="session")

INVALID = (400, "invalid_request_error", "INVALID_REQUEST")
CHAT = {"messages": [{"role": "user", "content": "x"}]}
CONTINUED = {"continuation": {"mode": "resume", "rollback_token": "x"}}


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "u"}] * 4096}, "messages"),
        ({"messages": [0] * 16_000}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0].type",
        ),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"n": 1 << 40}, "n"),
        ({"n": 1.5}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5000}, "max_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens"),
        ({"seed": -1}, "seed"),
        ({"seed": 1 << 64}, "seed"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stop_token_ids": [9999]}, "stop_token_ids"),
        ({"logit_bias": {"x": 1}}, "logit_bias.x"),
        ({"logit_bias": {"9999999999": 1}}, "logit_bias"),
        ({"logit_bias": {"999": 1}}, "logit_bias"),
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"guided_regex": "("}, "response_format"),
        ({"guided_regex": "a", "guided_choice": ["a"]}, "guided_choice"),
        ({"guided_choice": []}, "guided_choice"),
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"suffix": "x"}, "suffix"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"audio": {}}, "audio"),
        ({"temprature": 1}, "temprature"),
        ({"paceline": {"speed": "high"}}, "paceline.speed"),
        ({"paceline": {"speculation": {"num_draft_tokens": 65}}}, "paceline.speculation.num_draft_tokens"),
        ({"paceline": {"speculation": {"mode": "fast"}}}, "paceline.speculation.mode"),
        ({"paceline": CONTINUED, "messages": None, "seed": 1}, "seed"),
        ({"paceline": CONTINUED}, "messages"),
    ],
)
async def test_a_parameter_that_is_wrong_is_named(rig, fields, parameter):
    num_rounds = len(rig.rig.targets[0].rounds)
    response = await rig.post("/v1/chat/completions", {**CHAT, **fields})
    assert error_of(response) == (*INVALID, parameter)
    assert len(rig.rig.targets[0].rounds) == num_rounds


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"{", "application/json", (400, "INVALID_REQUEST")),
        (b"", "application/json", (400, "INVALID_REQUEST")),
        (b"[]", "application/json", (400, "INVALID_REQUEST")),
        (b'{"prompt": "\xff"}', "application/json", (400, "INVALID_REQUEST")),
        (b'{"prompt": "\\ud800"}', "application/json", (400, "INVALID_REQUEST")),
        (b'{"prompt": "x", "temperature": NaN}', "application/json", (400, "INVALID_REQUEST")),
        (b'{"prompt": ' + b"[" * 5000, "application/json", (400, "INVALID_REQUEST")),
        (b'{"prompt": "x"}', "text/plain", (415, "UNSUPPORTED_MEDIA_TYPE")),
        (b'{"prompt": "x"}', "", (415, "UNSUPPORTED_MEDIA_TYPE")),
        (b'{"prompt": "' + b"x" * 70_000 + b'"}', "application/json", (413, "MESSAGE_TOO_LARGE")),
        (b'{"prompt": "' + b"x" * 5_000 + b'"}', "application/json", (400, "PROMPT_TOO_LONG")),
    ],
)
async def test_a_body_that_is_none_is_refused(rig, body, content_type, expected):
    headers = {"content-type": content_type} if content_type else {}
    response = await rig.http.post("/v1/completions", content=body, headers=headers)
    status, _, code, _ = error_of(response)
    assert (status, code) == expected


async def test_a_body_that_grows_without_saying_so_is_cut_at_the_limit(rig):
    async def endless():
        for _ in range(100):
            yield b" " * 10_000

    headers = {"content-type": "application/json"}
    response = await rig.http.post("/v1/completions", content=endless(), headers=headers)
    assert error_of(response)[0] == 413


async def test_paths_and_methods_that_do_not_exist_are_told_in_the_same_shape(rig):
    assert error_of(await rig.http.get("/v1/nothing"))[:3] == (404, "not_found_error", "NO_SUCH_PAGE")
    wrong = await rig.http.get("/v1/chat/completions")
    assert error_of(wrong)[:3] == (405, "invalid_request_error", "METHOD_NOT_ALLOWED")
    assert wrong.headers["allow"] == "POST"
    unknown = await rig.post("/v1/completions", {"prompt": "x", "model": "gpt-4"})
    assert error_of(unknown) == (404, "not_found_error", "UNKNOWN_MODEL", "model")
    assert error_of(await rig.http.get("/v1/models/a/b"))[2] == "UNKNOWN_MODEL"


async def test_openais_client_raises_its_own_exceptions(rig):
    with pytest.raises(openai.NotFoundError):
        await rig.openai.completions.create(model="gpt-4", prompt="x")
    with pytest.raises(openai.BadRequestError) as caught:
        await rig.openai.completions.create(model="scripted", prompt="x", temperature=-1)
    assert (caught.value.code, caught.value.param) == ("INVALID_REQUEST", "temperature")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (DrainingError("go elsewhere"), 503, "DRAINING"),
        (SessionCancelledError("abc"), 499, "SESSION_CANCELLED"),
        (StaleEpochError("late"), 409, "STALE_EPOCH"),
        (ValueError("a secret"), 500, "INTERNAL"),
    ],
)
async def test_an_error_before_the_first_chunk_is_a_status_and_after_it_an_event(rig, error, status, code):
    # What is logged of a defect has all that was going on, which takes seconds to be drawn for a terminal.
    with capture_logs() as lines:
        with rig.writing(ScriptedCore(error=error)):
            refused = await rig.post("/v1/chat/completions", {**CHAT, "stream": True})
        with rig.writing(ScriptedCore("a", "b", error=error)):
            broken = await rig.post("/v1/chat/completions", {**CHAT, "stream": True})
            whole = await rig.post("/v1/chat/completions", CHAT)
            stream = await rig.openai.chat.completions.create(model="", stream=True, **CHAT)
            with pytest.raises(openai.APIError) as caught:
                _ = [chunk async for chunk in stream]
    assert error_of(refused)[::2] == (status, code)
    assert "secret" not in refused.text
    assert ("retry-after" in refused.headers) == (status == 503)
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["internal_error"] * (
        4 if code == "INTERNAL" else 0
    )
    assert broken.status_code == 200
    last = broken.text.rstrip().rpartition("data: ")[2]
    assert json.loads(last)["error"]["code"] == code
    assert "[DONE]" not in broken.text
    assert "secret" not in broken.text
    assert error_of(whole)[::2] == (status, code)
    assert caught.value.code == code
