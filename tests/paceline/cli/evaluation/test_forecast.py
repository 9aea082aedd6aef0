"""Predicted speed-ups against those of trials whose rounds cost what is known."""

from dataclasses import replace

import numpy as np
import pytest

from paceline.cli.evaluation.agreement import TextMismatchError, require_same_text
from paceline.cli.evaluation.forecast import forecast_of
from paceline.cli.evaluation.measured_trial import MeasuredTrial
from paceline.cli.evaluation.reading.foreseen import ForeseenText
from paceline.cli.evaluation.speeds import speeds_of
from paceline.sampling.outlook import Outlook
from tests.paceline.cli.evaluation.made_trials import Prompt, drafted, foreseen, trials_of

NUM_TOKENS = 64
NUMBERS = (1, 2, 4)
SHARES = {"code": 0.8, "prose": 0.5, "japanese": 0.65}


def random_texts(num_prompts: int, shares: dict[str, float] = SHARES) -> dict[Prompt, ForeseenText]:
    """Texts of which the draft chooses such a share itself, and finds half of the rest next best."""
    generator = np.random.default_rng(5)
    return {
        (kind, f"{kind} {number}"): foreseen(
            "".join(generator.choice(list("TGF"), NUM_TOKENS, p=[share, (1 - share) / 2, (1 - share) / 2]))
        )
        for kind, share in shares.items()
        for number in range(num_prompts)
    }


def measured_speed_ups(trials: list[MeasuredTrial]) -> dict[tuple[str, int], float]:
    return {
        (speed.kind, speed.num_draft_tokens): speed.speed_up.value
        for speed in speeds_of(trials)
        if speed.num_draft_tokens is not None and speed.speed_up is not None
    }


@pytest.mark.parametrize("num_prompts", [2, 3])
def test_rounds_of_other_kinds_foretell_a_kind(num_prompts: int) -> None:
    texts = random_texts(num_prompts)
    trials = trials_of(texts, NUMBERS)
    found = forecast_of(trials, texts, NUM_TOKENS)
    assert found.speed_ups == pytest.approx(measured_speed_ups(trials))
    assert found.notes == ()


def test_another_speed_of_the_machine_in_each_trial_does_not_matter() -> None:
    texts = random_texts(2)
    trials = trials_of(texts, NUMBERS, slownesses=np.random.default_rng(6).uniform(0.5, 2, 5).tolist())
    assert forecast_of(trials, texts, NUM_TOKENS).speed_ups == pytest.approx(measured_speed_ups(trials))


def test_a_kind_tells_nothing_of_itself() -> None:
    texts = random_texts(2)
    trials = trials_of(texts, NUMBERS)
    # The machine makes every round of prose twice as long: the prediction for prose cannot know it.
    slow = [
        replace(one, answers=tuple(map(_twice_as_slow, one.answers)))
        if one.kind == "prose" and one.variant.num_draft_tokens
        else one
        for one in trials
    ]
    before, after = (forecast_of(some, texts, NUM_TOKENS).speed_ups for some in (trials, slow))
    for number in NUMBERS:
        assert after["prose", number] == pytest.approx(before["prose", number])
        assert after["code", number] != pytest.approx(before["code", number])


def test_one_kind_is_foretold_by_its_other_prompts_and_one_prompt_by_itself() -> None:
    texts = random_texts(3, {"mine": 0.7})
    trials = trials_of(texts, NUMBERS)
    assert forecast_of(trials, texts, NUM_TOKENS).speed_ups == pytest.approx(measured_speed_ups(trials))
    single = dict(list(texts.items())[:1])
    trials = trials_of(single, NUMBERS)
    found = forecast_of(trials, single, NUM_TOKENS)
    assert found.speed_ups == pytest.approx(measured_speed_ups(trials))
    assert "a single prompt" in found.notes[0]


def test_a_text_that_was_read_further_than_it_was_timed_is_foretold_as_far_as_it_was_timed() -> None:
    texts = random_texts(2)
    timed = {prompt: text.until(40) for prompt, text in texts.items()}
    trials = trials_of(timed, NUMBERS)
    assert forecast_of(trials, texts, 40).speed_ups == pytest.approx(measured_speed_ups(trials))


def test_without_texts_nothing_is_foretold() -> None:
    trials = trials_of(random_texts(1), NUMBERS)
    assert forecast_of(trials, {}, NUM_TOKENS).speed_ups == {}
    assert forecast_of([], random_texts(1), NUM_TOKENS).speed_ups == {}


def test_a_text_of_another_length_is_a_defect() -> None:
    texts = random_texts(1)
    trials = trials_of(texts, NUMBERS)
    with pytest.raises(TextMismatchError, match=r"64 tokens, and not 63.*report it"):
        forecast_of(trials, {prompt: text.until(63) for prompt, text in texts.items()}, NUM_TOKENS)
    longer = {
        prompt: ForeseenText(range(65), [*text.outlooks, Outlook((64,), (1.0,))])
        for prompt, text in texts.items()
    }
    # An answer that ended by itself has no more tokens, one that was cut may have.
    with pytest.raises(TextMismatchError, match="64 tokens, and not 65"):
        forecast_of(trials, longer, NUM_TOKENS + 1)
    forecast_of(trials, longer, NUM_TOKENS)


def test_a_draft_that_was_judged_otherwise_throughout_is_a_defect() -> None:
    pattern = "TTFTTTFTFTTTTTFTTTFT"
    answer = drafted(("code", "a"), foreseen(pattern), 3)
    require_same_text(answer, foreseen(pattern), 100)
    other = pattern.translate(str.maketrans("TF", "FT"))
    with pytest.raises(TextMismatchError, match="judged otherwise"):
        require_same_text(answer, foreseen(other), 100)


def test_a_place_where_a_draft_is_not_always_of_the_same_mind_is_none() -> None:
    answer = drafted(("code", "a"), foreseen("TTFTTTFTFTTTTTFTTTFT"), 3)
    require_same_text(answer, foreseen("TTFTFTFTFTTTTTFTTTFT"), 100)


def _twice_as_slow(answer):
    return replace(answer, arrivals=tuple(replace(one, seconds=2 * one.seconds) for one in answer.arrivals))
