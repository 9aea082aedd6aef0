"""Where a chat has to call a tool, or to answer with JSON instead, its text can be nothing else."""

import json

import pytest
from llguidance import LLMatcher

from orchestrator.gateway.chat_body import ChatBody
from orchestrator.gateway.tool_wish import call_structure, tool_plan
from paceline.errors import InvalidRequestError
from paceline.sampling.parameters import Structure, StructureKind
from paceline.sampling.structure_grammar import grammar_of
from paceline.sampling.structure_vocabulary import structure_tokenizer
from tests.orchestrator.byte_tokenizer import VOCABULARY_SIZE, byte_tokenizer
from tests.orchestrator.gateway.scripted_core import TOOL_TEMPLATE
from tests.orchestrator.gateway.test_tools import CLOCK, PARIS, ROME, WEATHER, called


def test_a_template_whose_calls_nobody_can_read_is_told():
    with pytest.raises(InvalidRequestError):
        tool_plan(body(tools=[WEATHER]), byte_tokenizer())


def body(**fields) -> ChatBody:
    return ChatBody.model_validate_json(json.dumps(fields))


def matches(structure: str, text: str) -> bool:
    """Whether a text is one that the structure allows, whole."""
    vocabulary = structure_tokenizer(byte_tokenizer(), VOCABULARY_SIZE)
    matcher = LLMatcher(vocabulary, grammar_of(Structure(StructureKind.GRAMMAR, structure)))
    ids = list(text.encode())
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


@pytest.mark.parametrize(
    ("fields", "good", "bad"),
    [
        ({"tool_choice": "required"}, called(PARIS), "It is warm."),
        ({"tool_choice": "required"}, called(PARIS) + "\n" + called(ROME), called(PARIS) + "x"),
        ({"tool_choice": "required"}, called('{"name": "clock", "arguments": {}}'), called("{}")),
        (
            {"tool_choice": "required", "parallel_tool_calls": False},
            called(PARIS),
            called(PARIS) + "\n" + called(ROME),
        ),
        (
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
            called(ROME),
            called('{"name": "clock", "arguments": {}}'),
        ),
        ({"response_format": {"type": "json_object"}}, '{"a": 1}', "It is warm."),
        ({"response_format": {"type": "json_object"}}, called(PARIS), "[1]"),
    ],
)
def test_where_it_must_call_the_text_can_be_nothing_else(fields, good, bad):
    wish = body(tools=[WEATHER, CLOCK], **fields)
    plan = tool_plan(wish, byte_tokenizer(TOOL_TEMPLATE))
    assert plan is not None
    structure = call_structure(plan, {"type": "object"} if "response_format" in fields else None)
    assert structure is not None
    assert matches(structure.grammar, good)
    assert not matches(structure.grammar, bad)
