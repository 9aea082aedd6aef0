"""The rounds against scripted replicas: whatever the draft does, the text is the target's own."""

import asyncio

import pytest

from paceline.client.generation import FinishReason, TokenOrigin
from tests.orchestrator.byte_tokenizer import EOS_ID
from tests.orchestrator.rig import OFF, TOKENIZER, Rig, draft, fixed, ids_request, orchestrating, target, until
from tests.orchestrator.scripted_model import continuation

PROMPT = tuple(b"the quick brown fox")


async def check_invariants(rig: Rig, completion, prompt=PROMPT, eos_odds: int = 0) -> None:
    """What the client got is what Redis holds and what the target chose."""
    expected = continuation(prompt, len(completion.token_ids), eos_odds)
    assert list(completion.token_ids) == expected
    record = await rig.stored(completion.started.session_id)
    assert list(record.ids) == [*prompt, *expected]
    assert record.num_prompt_ids == len(prompt)
    assert record.status == "finished"
    assert completion.text == TOKENIZER.decode(expected)
    assert "".join(token.text for token in completion.tokens) == completion.text


@pytest.mark.parametrize("num_draft_tokens", [1, 2, 5, 8, 64])
@pytest.mark.parametrize("quality", [0.0, 0.6, 1.0])
async def test_the_text_depends_on_neither_the_draft_nor_its_length(redis, num_draft_tokens, quality):
    async with orchestrating(redis.url, [target(), draft(quality=quality)]) as rig:
        completion = await rig.client.complete(
            ids_request(PROMPT, 100, speculation=fixed(num_draft_tokens))
        )
        alone = await rig.client.complete(ids_request(PROMPT, 100, speculation=OFF))

        await check_invariants(rig, completion)
        assert completion.token_ids == alone.token_ids
        assert completion.summary.finish_reason is FinishReason.LENGTH
        assert completion.summary.speculation.num_draft_tokens > 0
        assert not completion.summary.speculation.num_degraded_rounds
        assert alone.summary.speculation.num_draft_tokens == 0
