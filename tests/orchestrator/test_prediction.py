"""A predicted output: drafted for nothing where it is right, and never a change of the text."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.prediction import MATCH_LENGTH, Prediction
from orchestrator.task_record import TaskRecord
from paceline.client.errors import CallFailedError
from paceline.client.generation import (
    Drafter,
    PromptIds,
    Sampling,
    Speculation,
    SpeculationMode,
)
from paceline.sampling.parameters import Verification
from tests.orchestrator import scripted_model
from tests.orchestrator.rig import OFF, TOKENIZER, Rig, draft, ids_request, orchestrating, target
from tests.orchestrator.scripted_model import continuation
from tests.orchestrator.test_continuations import (
    FORK,
    RESUME,
    all_events,
    chunks_of,
    first_events,
    going_on,
    ids_of,
)
from tests.orchestrator.test_generation import PROMPT, check_invariants

NUM_TOKENS = 80
MODEL = Speculation(SpeculationMode.FIXED, 4)
ADAPTIVE = Speculation(SpeculationMode.ADAPTIVE, 8)
LOOKUP = Speculation(SpeculationMode.FIXED, 4, Drafter.PROMPT_LOOKUP)


@pytest.fixture
def ascii_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the scripted model writes is text, so that a text can predict it."""
    monkeypatch.setattr(scripted_model, "NUM_TEXT_IDS", 128)


def right() -> str:
    return TOKENIZER.decode(continuation(PROMPT, NUM_TOKENS))


def edited() -> str:
    text = right()
    return text[:32] + "something else" + text[41:]


def wrong() -> str:
    return TOKENIZER.decode(continuation((*PROMPT, 1), NUM_TOKENS))


async def stored_prediction(rig: Rig, session_id: str) -> str:
    record = await rig.stored(session_id)
    return TOKENIZER.decode(TaskRecord.read(session_id, record.task).prediction_ids)


class TestPlaces:
    def test_what_follows_the_latest_ids_in_the_prediction_is_proposed(self):
        assert Prediction([1, 2, 3, 4, 5, 6]).propose([9, 2, 3, 4], 0, 4) == (5, 6)
        assert Prediction([1, 2, 3, 4]).propose([9, 8, 7, 6], 0, 4) == ()

    def test_an_output_is_expected_to_begin_as_its_prediction_does(self):
        prediction = Prediction([1, 2, 3, 4])
        assert prediction.propose([70, 71], 2, 2) == (1, 2)
        assert prediction.propose([70, 71, 1], 2, 2) == (2, 3)
        assert prediction.propose([70, 71, 2], 2, 2) == ()

    def test_of_several_places_the_next_one_counts_and_then_the_first(self):
        prediction = Prediction([1, 2, 3, 10, 1, 2, 3, 20, 1, 2, 3, 30, 4, 5, 6, 40])
        assert [prediction.propose([1, 2, 3], 0, 1) for _ in range(2)] == [(10,), (10,)]
        assert prediction.propose([1, 2, 3, 10, 1, 2, 3], 0, 1) == (10,)
        assert prediction.propose([4, 5, 6], 0, 1) == (40,)
        assert prediction.propose([1, 2, 3], 0, 1) == (10,)

    @given(
        st.lists(st.integers(0, 3), max_size=30),
        st.lists(st.integers(0, 3), min_size=MATCH_LENGTH, max_size=30),
    )
    def test_every_match_is_found_and_nothing_else_is(self, predicted: list[int], ids: list[int]):
        places = [
            place
            for place in range(MATCH_LENGTH, len(predicted) + 1)
            if predicted[place - MATCH_LENGTH : place] == ids[-MATCH_LENGTH:]
        ]
        followers = [tuple(predicted[place : place + 4]) for place in places]
        assert Prediction(predicted).propose(ids, 0, 4) in (followers or [()])

    @pytest.mark.parametrize("ids", [[0xD800, 0xDFFF, 0x10FFFF, 0], [256, 65536, 256, 65536]])
    def test_any_id_can_be_predicted(self, ids: list[int]):
        assert Prediction(ids).propose(ids[:3], 0, 9) == tuple(ids[3:])


@pytest.mark.usefixtures("ascii_model")
class TestGenerations:
    @pytest.mark.parametrize("speculation", [MODEL, ADAPTIVE, LOOKUP])
    async def test_no_prediction_changes_the_text(self, redis, speculation):
        request = ids_request(PROMPT, NUM_TOKENS, speculation=speculation)
        async with orchestrating(redis.url, [target(), draft(quality=0.6)]) as rig:
            for prediction in (right(), edited(), wrong()):
                await check_invariants(
                    rig, await rig.client.complete(replace(request, prediction=prediction))
                )

    @pytest.mark.parametrize("speculation", [MODEL, ADAPTIVE, LOOKUP])
    async def test_a_right_prediction_is_drafted_for_nothing(self, redis, speculation):
        request = ids_request(PROMPT, NUM_TOKENS, speculation=speculation, prediction=right())
        async with orchestrating(redis.url, [target(), draft(quality=0.6)]) as rig:
            completion = await rig.client.complete(request)
            await check_invariants(rig, completion)
            assert all(one.num_draft_tokens == 0 for one in rig.drafts[0].rounds)
        told = completion.summary.speculation
        assert told.num_rejected_prediction_tokens == 0
        assert told.num_accepted_prediction_tokens == told.num_accepted_tokens == told.num_draft_tokens
        assert (
            told.num_rounds_by_drafter["prediction"] == told.num_rounds - told.num_rounds_by_drafter["none"]
        )
        most = speculation.num_draft_tokens
        assert told.num_rounds <= 2 + NUM_TOKENS // (most + 1)

    async def test_where_the_prediction_is_wrong_the_draft_model_goes_on(self, redis):
        request = ids_request(PROMPT, NUM_TOKENS, speculation=MODEL, prediction=edited())
        async with orchestrating(redis.url, [target(), draft(quality=0.6)]) as rig:
            completion = await rig.client.complete(request)
        told = completion.summary.speculation
        assert told.num_rounds_by_drafter["model"] > 0
        assert told.num_rounds_by_drafter["prediction"] > 5
        assert told.num_rejected_prediction_tokens > 0
        assert told.num_accepted_tokens > told.num_accepted_prediction_tokens > NUM_TOKENS // 2
        assert sum(told.num_rounds_by_drafter.values()) == told.num_rounds

    async def test_without_speculation_nothing_is_predicted(self, redis):
        async with orchestrating(redis.url, [target()]) as rig:
            request = ids_request(PROMPT, NUM_TOKENS, speculation=OFF, prediction=right())
            told = (await rig.client.complete(request)).summary.speculation
        assert set(told.num_rounds_by_drafter) == {"none"}
        assert (told.num_accepted_prediction_tokens, told.num_rejected_prediction_tokens) == (0, 0)

    async def test_choices_share_a_prediction(self, redis):
        async with orchestrating(redis.url, [target()]) as rig:
            request = ids_request(PROMPT, 40, num_choices=3, speculation=LOOKUP, prediction=right())
            for completion in await rig.client.complete_choices(request):
                assert list(completion.token_ids) == continuation(PROMPT, 40)
                assert completion.summary.speculation.num_accepted_prediction_tokens > 0

    async def test_greedy_text_under_rejection_is_that_of_no_prediction(self, redis):
        sampling = Sampling(verification=Verification.REJECTION)
        async with orchestrating(redis.url, [target(), draft()]) as rig:
            request = ids_request(PROMPT, 60, sampling=sampling, speculation=MODEL, prediction=edited())
            await check_invariants(rig, await rig.client.complete(request))

    @pytest.mark.parametrize("is_kept", [True, False])
    async def test_a_resumed_stream_goes_on_with_its_prediction_and_can_do_without(
        self, redis, monkeypatch, is_kept
    ):
        if not is_kept:  # as older versions write it
            write = TaskRecord.write
            monkeypatch.setattr(TaskRecord, "write", lambda record: write(replace(record, prediction_ids=())))
        request = ids_request(PROMPT, NUM_TOKENS, speculation=LOOKUP, prediction=right())
        async with orchestrating(redis.url, [target()]) as rig:
            events = await first_events(rig, request, 20)
            completion = await rig.client.complete(going_on(chunks_of(events)[-1].rollback_token, RESUME))
        assert [*ids_of(events), *completion.token_ids] == continuation(PROMPT, NUM_TOKENS)
        assert (completion.summary.speculation.num_accepted_prediction_tokens > 0) is is_kept

    async def test_a_rewound_session_keeps_its_prediction_until_it_gets_another_input(self, redis):
        request = ids_request(PROMPT, 60, speculation=LOOKUP, prediction=right())
        async with orchestrating(redis.url, [target()]) as rig:
            token = chunks_of(await all_events(rig, request))[0].rollback_token
            again = await rig.client.complete(going_on(token, FORK, max_tokens=30))
            replaced = await rig.client.complete(going_on(token, FORK, max_tokens=30, prediction=wrong()))
            onward = await rig.client.complete(going_on(token, FORK, PromptIds((1, 2)), max_tokens=30))
            kept = [await stored_prediction(rig, one.started.session_id) for one in (again, replaced, onward)]
        assert kept == [right(), wrong(), ""]
        assert again.token_ids == replaced.token_ids
        assert again.summary.speculation.num_accepted_prediction_tokens > 0

    async def test_a_prediction_is_not_longer_than_a_prompt(self, redis):
        async with orchestrating(redis.url, [target(max_context_tokens=64)]) as rig:
            await rig.client.complete(ids_request(PROMPT, 5, prediction="x" * 63))
            for prediction in ("x" * 64, "x" * 100_000):
                with pytest.raises(CallFailedError) as refused:
                    await rig.client.complete(ids_request(PROMPT, 5, prediction=prediction))
                assert refused.value.call_reason == "PROMPT_TOO_LONG"
                assert "the prediction has" in str(refused.value)
