"""What is written next."""

from itertools import islice

from paceline.distillation.framing import framing_of
from paceline.distillation.wish import Subjects, Wish, Wishes
from tests.orchestrator.byte_tokenizer import byte_tokenizer

PROMPTS = ("first prompt", "second prompt")


def wishes_of(*, prompts: tuple[str, ...], writes_questions: bool, temperatures: tuple[float, ...]) -> Wishes:
    subjects = Subjects(prompts, ("Why",), writes_questions, temperatures)
    return Wishes(subjects, framing_of(byte_tokenizer()), (0, 0))


def first(wishes: Wishes, number: int) -> list[Wish | None]:
    return list(islice(iter(wishes.next, object()), number))


def test_prompts_alone_are_answered_greedily_once_and_sampled_for_ever() -> None:
    wishes = wishes_of(prompts=PROMPTS, writes_questions=False, temperatures=(0.0, 1.0))
    some = [one for one in first(wishes, 20) if one is not None]
    assert len(some) == 20
    assert {one.question for one in some} == set(PROMPTS)
    assert sum(one.temperature == 0 for one in some) == 2
    assert len({one.seed for one in some}) == 20


def test_greedy_answers_to_prompts_come_to_an_end() -> None:
    wishes = wishes_of(prompts=PROMPTS, writes_questions=False, temperatures=(0.0,))
    assert [one is None for one in first(wishes, 4)] == [False, False, True, True]


def test_questions_and_prompts_take_turns_and_questions_go_on_alone() -> None:
    wishes = wishes_of(prompts=PROMPTS, writes_questions=True, temperatures=(0.0,))
    asked = [one.question for one in first(wishes, 8) if one is not None]
    assert len(asked) == 8
    assert [question is None for question in asked[:4]] == [True, False, True, False]
    assert set(asked[4:]) == {None}


def test_an_answer_to_a_question_comes_first_at_each_temperature_and_only_once() -> None:
    wishes = wishes_of(prompts=(), writes_questions=True, temperatures=(0.0, 0.7))
    wishes.answer("Is it so?")
    wishes.answer("Is it so?")
    assert [one and (one.question, one.temperature) for one in first(wishes, 3)] == [
        ("Is it so?", 0.0),
        ("Is it so?", 0.7),
        (None, 1.0),
    ]
