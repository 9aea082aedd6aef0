"""Logs hold ids and numbers; what users wrote and got only where an operator asks for it."""

import pytest
from structlog.testing import capture_logs

from tests.orchestrator.rig import TOKENIZER, ids_request, orchestrating, target

PROMPT = "a secret recipe"


@pytest.mark.parametrize("is_asked_for", [False, True])
async def test_prompts_and_texts_are_logged_only_where_that_is_asked_for(redis, is_asked_for):
    with capture_logs() as lines:
        async with orchestrating(redis.url, [target()], log_texts=is_asked_for) as rig:
            completion = await rig.client.complete(
                ids_request(TOKENIZER.encode(PROMPT, parse_special=False), 12)
            )
    finished = [line for line in lines if line["event"] == "generation_finished"]
    assert [line["session_id"] for line in finished] == [completion.started.session_id]
    assert finished[0]["num_tokens"] == 12
    with_texts = [line for line in lines if PROMPT in str(line) or completion.text in str(line)]
    assert bool(with_texts) == is_asked_for
    if is_asked_for:
        assert (with_texts[0]["prompt"], with_texts[0]["text"]) == (PROMPT, completion.text)
        assert with_texts[0]["log_level"] == "debug"
