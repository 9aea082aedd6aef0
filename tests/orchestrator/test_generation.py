"""The rounds against scripted replicas: whatever the draft does, the text is the target's own."""

import asyncio

import pytest

from paceline.client.generation import FinishReason, TokenOrigin
from tests.orchestrator.byte_tokenizer import EOS_ID
from tests.orchestrator.rig import (
    OFF,
    TOKENIZER,
    Rig,
    draft,
    fixed,
    ids_request,
    orchestrating,
    target,
)
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
        completion = await rig.client.complete(ids_request(PROMPT, 100, speculation=fixed(num_draft_tokens)))
        alone = await rig.client.complete(ids_request(PROMPT, 100, speculation=OFF))

        await check_invariants(rig, completion)
        assert completion.token_ids == alone.token_ids
        assert completion.summary.finish_reason is FinishReason.LENGTH
        assert completion.summary.speculation.num_draft_tokens > 0
        assert not completion.summary.speculation.num_degraded_rounds
        assert alone.summary.speculation.num_draft_tokens == 0


@pytest.mark.parametrize("quality", [0.0, 0.6, 1.0])
async def test_the_text_does_not_depend_on_lengths_that_are_chosen_and_the_summary_says_why(redis, quality):
    services = [target(), draft(quality=quality)]
    async with orchestrating(redis.url, services, speculation="adaptive") as rig:
        completions = await asyncio.gather(*(rig.client.complete(ids_request(PROMPT, 150)) for _ in range(4)))
        alone = await rig.client.complete(ids_request(PROMPT, 150, speculation=OFF))
        for completion in completions:
            await check_invariants(rig, completion)
            assert completion.token_ids == alone.token_ids
            speculation = completion.summary.speculation
            assert speculation.choice is not None
            assert speculation.choice.reason in {
                "PAYS",
                "TARGET_ONLY_FASTER",
                "DRAFT_REFUSED_TOO_OFTEN",
                "DRAFT_TOO_SLOW",
                "BATCH_FULL",
            }
            assert speculation.choice.target_only_tokens_per_second > 0
            assert sum(speculation.num_rounds_per_draft_length) == speculation.num_rounds
    assert alone.summary.speculation.choice is not None
    assert alone.summary.speculation.choice.reason == "OFF"


async def test_without_any_draft_prompt_lookup_proposes_as_much_as_pays(redis):
    async with orchestrating(redis.url, [target()], speculation="adaptive") as rig:
        completion = await rig.client.complete(ids_request(PROMPT * 4, 100))
        await check_invariants(rig, completion, prompt=PROMPT * 4)
    speculation = completion.summary.speculation
    assert set(speculation.num_degraded_rounds) == {"NO_DRAFT_REPLICA"}
    assert set(speculation.num_rounds_by_drafter) <= {"prompt_lookup", "none"}


async def test_a_round_is_accounted_for_token_by_token(redis):
    async with orchestrating(redis.url, [target(), draft(quality=0.6)]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 80, speculation=fixed(4)))

    speculation = completion.summary.speculation
    origins = [token.origin for token in completion.tokens]
    assert speculation.num_drafted_per_position[0] == speculation.num_rounds - 1
    assert sum(speculation.num_drafted_per_position) == speculation.num_draft_tokens
    assert sum(speculation.num_accepted_per_position) == speculation.num_accepted_tokens
    assert origins.count(TokenOrigin.ACCEPTED) == speculation.num_accepted_tokens
    assert origins[0] is TokenOrigin.TARGET
    assert {TokenOrigin.RECOVERED, TokenOrigin.BONUS} <= set(origins)
    assert completion.summary.usage.num_completion_tokens == 80


async def test_a_draft_never_proposes_a_token_that_does_not_fit(redis):
    async with orchestrating(redis.url, [target(max_context_tokens=64), draft(quality=1.0)]) as rig:
        for max_tokens in (1, 2, 3, 7):
            completion = await rig.client.complete(ids_request(PROMPT, max_tokens, speculation=fixed(8)))
            await check_invariants(rig, completion)
            assert len(completion.token_ids) == max_tokens
            assert completion.summary.finish_reason is FinishReason.LENGTH
        requests = rig.drafts[0].rounds
        assert max(len(one.point.committed_ids) + one.num_draft_tokens for one in requests) < len(PROMPT) + 7


async def test_the_generation_ends_where_the_context_does(redis):
    async with orchestrating(redis.url, [target(max_context_tokens=32), draft()]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 100))
        await check_invariants(rig, completion)
    assert len(PROMPT) + len(completion.token_ids) == 32
    assert completion.summary.finish_reason is FinishReason.CONTEXT


async def test_nothing_follows_an_end_of_generation_id_unless_it_is_ignored(redis):
    services = [target(eos_odds=12), draft(quality=1.0, eos_odds=12)]
    async with orchestrating(redis.url, services) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 200, speculation=fixed(8)))
        ignoring = await rig.client.complete(ids_request(PROMPT, 200, ignore_eos=True))
        await check_invariants(rig, completion, eos_odds=12)
    assert completion.token_ids[-1] == EOS_ID
    assert completion.summary.finish_reason is FinishReason.STOP
    assert len(ignoring.token_ids) == 200
    assert ignoring.token_ids[: len(completion.token_ids)] == completion.token_ids


async def test_both_caches_get_the_prompt_before_either_has_answered(redis):
    target_service, draft_service = target(), draft()
    both = asyncio.Barrier(2)

    async def wait_for_the_other(session_id: str, round_number: int) -> None:
        if round_number == 0:
            await both.wait()

    target_service.replica.fault = draft_service.replica.fault = wait_for_the_other
    async with orchestrating(redis.url, [target_service, draft_service]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 20))
        await check_invariants(rig, completion)
        assert rig.drafts[0].rounds[0].num_draft_tokens == 0
        assert list(rig.drafts[0].rounds[0].point.committed_ids) == list(PROMPT)
        assert rig.drafts[0].rounds[0].max_ahead_tokens > 0


async def test_a_replica_is_sent_each_id_once_and_told_the_sampling_once(redis):
    async with orchestrating(redis.url, [target(), draft()]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 40))
        for replica in (*rig.targets, *rig.drafts):
            assert [one.point.HasField("sampling") for one in replica.rounds].count(True) == 1
            assert sum(len(one.point.committed_ids) for one in replica.rounds) < len(PROMPT) + 40
        assert rig.targets[0].rounds[0].point.sampling.seed == completion.started.seed


async def test_without_speculation_the_draft_hears_nothing(redis):
    async with orchestrating(redis.url, [target(), draft()]) as rig:
        await rig.client.complete(ids_request(PROMPT, 10, speculation=OFF))
        assert not rig.drafts[0].rounds


async def test_sessions_share_frames_and_do_not_disturb_each_other(redis):
    async with orchestrating(redis.url, [target(), draft()]) as rig:
        prompts = [bytes([number, 1, 2, 3]) for number in range(32)]
        completions = await asyncio.gather(
            *(rig.client.complete(ids_request(prompt, 40)) for prompt in prompts)
        )
        for prompt, completion in zip(prompts, completions, strict=True):
            await check_invariants(rig, completion, tuple(prompt))
        assert max(rig.targets[0].frames) > 1
        # They stay for the next turn, until the replicas need the room.
        assert len(rig.targets[0].caches) == len(rig.drafts[0].caches) == len(prompts)


async def test_new_sessions_go_to_the_replica_with_the_fewest(redis):
    async with orchestrating(redis.url, [target(0), target(1), draft(0), draft(1)]) as rig:
        completions = await asyncio.gather(
            *(rig.client.complete(ids_request((number,), 30)) for number in range(8))
        )
        for number, completion in enumerate(completions):
            await check_invariants(rig, completion, (number,))
        for replica in (*rig.targets, *rig.drafts):
            assert len({one.point.session_id for one in replica.rounds}) == 4


async def test_the_summary_says_where_the_time_went(redis):
    async with orchestrating(redis.url, [target(), draft()]) as rig:
        timing = (await rig.client.complete(ids_request(PROMPT, 60))).summary.timing
    parts = timing.draft_seconds + timing.verify_seconds + timing.queue_seconds + timing.network_seconds
    assert 0 < timing.time_to_first_token_seconds < timing.total_seconds
    assert 0 < timing.network_seconds < timing.total_seconds  # scripted replicas report no time of their own
    assert 0 < timing.commit_seconds < timing.total_seconds
    assert parts + timing.commit_seconds <= timing.total_seconds
