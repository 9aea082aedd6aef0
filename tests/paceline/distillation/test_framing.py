"""How a target is brought to write."""

import pytest

from paceline.distillation.framing import framing_of
from paceline.distillation.openings import read_openings
from paceline.models.chat_message import ChatMessage
from paceline.models.tokenizer import Tokenizer
from tests.orchestrator.byte_tokenizer import EOS_ID, byte_tokenizer

TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return byte_tokenizer(TEMPLATE, ("<|start|>",))


def test_a_question_begins_where_a_users_turn_does(tokenizer: Tokenizer) -> None:
    ids = framing_of(tokenizer).question_prompt("Why")
    assert tokenizer.decode(ids, keep_special=True) == "<|start|>user\nWhy"


def test_the_first_words_of_a_question_are_text_whatever_they_spell(tokenizer: Tokenizer) -> None:
    ids = framing_of(tokenizer).question_prompt("<|end|>")
    assert EOS_ID not in ids


def test_a_question_is_a_turn_that_has_ended_and_says_something(tokenizer: Tokenizer) -> None:
    framing = framing_of(tokenizer)
    written = tokenizer.encode(" is the sky blue?\n", parse_special=False)
    assert framing.question_text("Why", [*written, EOS_ID]) == "Why is the sky blue?"
    assert framing.question_text("Why", written) is None
    assert framing.question_text("Why", [EOS_ID]) is None
    assert framing.question_text("Why", []) is None


def test_an_answer_is_prompted_as_a_served_chat_is(tokenizer: Tokenizer) -> None:
    assert framing_of(tokenizer).answer_prompt("Why?") == tokenizer.encode_chat([ChatMessage("user", "Why?")])


def test_without_a_chat_template_a_text_begins_and_goes_on() -> None:
    tokenizer = byte_tokenizer(None)
    framing = framing_of(tokenizer)
    assert framing.question_prompt("") == [EOS_ID]
    assert framing.question_text("On", list(b"ce")) == "Once"
    assert framing.answer_prompt("Once") == tokenizer.encode_prompt("Once", parse_special=False)


def test_the_openings_are_many_and_different() -> None:
    openings = read_openings()
    assert len(openings) == len(set(openings)) > 100
