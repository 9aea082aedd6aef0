"""An answer that is held to calling tools is calls of them, whatever the logits are."""

import json
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from paceline.errors import InvalidRequestError
from paceline.models.tokenizer import Tokenizer
from paceline.models.tool_calls import ParsedText, ToolCallParser
from paceline.models.tool_format import tool_format_of
from paceline.models.tool_structure import structure_for
from paceline.sampling.parameters import Structure
from paceline.sampling.structure import StructureCompiler
from tests.orchestrator.byte_tokenizer import EOS_ID, VOCABULARY_SIZE, byte_tokenizer
from tests.paceline.models.template_files import LLAMA, MISTRAL, QWEN, template_source

MAX_WALK = 400
NUM_WALKS = 4
TEMPLATES = [QWEN, LLAMA, MISTRAL]


def tool(name: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    described = {"name": name, "description": "An example. " * 1000}
    return {"type": "function", "function": described | ({"parameters": parameters} if parameters else {})}


WEATHER = tool(
    "weather",
    {
        "type": "object",
        "description": "What is asked. " * 1000,
        "properties": {
            "city": {"enum": ["Paris", "東京"], "description": "Where. " * 1000},
            "days": {"type": "integer", "minimum": 1, "maximum": 9},
            "description": {"$ref": "#/$defs/mood"},
        },
        "required": ["city", "description"],
        "additionalProperties": False,
        "$defs": {"mood": {"const": {"description": "sunny"}}},
        "x-guidance": {"lenient": True},
    },
)
CLOCK = tool("clock")
SEARCH = tool("search", {"properties": {"n": {"type": "boolean"}}, "additionalProperties": False})
TOOLS = [WEATHER, CLOCK, SEARCH]


def tokenizer_of(name: str) -> Tokenizer:
    return byte_tokenizer(template_source(name), ["[TOOL_CALLS]"] if name == MISTRAL else [])


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def answers(structure: Structure, tokenizer: Tokenizer, num_walks: int = NUM_WALKS) -> list[ParsedText]:
    """What random logits, which prefer to come to an end, choose under a structure."""
    compiled = StructureCompiler(tokenizer, VOCABULARY_SIZE).compile(structure)
    preference = np.zeros(VOCABULARY_SIZE)
    preference[list(b'"}')] = 4
    preference[list(b"]")] = 2
    preference[EOS_ID] = 3
    return [walk(compiled.rows(0), preference, tokenizer, seed) for seed in range(num_walks)]


def walk(rows: Any, preference: np.ndarray, tokenizer: Tokenizer, seed: int) -> ParsedText:
    noise, ids = np.random.default_rng(seed), list[int]()
    while not ids or ids[-1] != EOS_ID:
        assert len(ids) < MAX_WALK
        logits = preference + noise.gumbel(size=VOCABULARY_SIZE)
        ids.append(int(np.where(rows(len(ids), ids), logits, -np.inf).argmax()))
    tool_format = tool_format_of(tokenizer.chat_template_source)
    assert tool_format is not None
    parser = ToolCallParser(tool_format)
    first, last = parser.push(tokenizer.decode(ids)), parser.finish()
    return ParsedText(first.content + last.content, first.calls + last.calls)


def check(parsed: ParsedText) -> None:
    """There is nothing but calls, and each has arguments of its tool's schema."""
    assert parsed.content == ""
    assert parsed.calls
    schemas = {one["function"]["name"]: one["function"].get("parameters") for one in TOOLS}
    for call in parsed.calls:
        arguments = json.loads(call.arguments)
        schema = schemas[call.name] or {"type": "object", "additionalProperties": False}
        Draft202012Validator(schema).validate(arguments)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_required_call_is_one_of_a_tool_with_arguments_of_its_schema(name: str):
    tokenizer = tokenizer_of(name)
    structure = structure_for(TOOLS, "required", tokenizer)
    assert structure is not None
    parsed = answers(structure, tokenizer, 12)
    for one in parsed:
        check(one)
    assert {call.name for one in parsed for call in one.calls} == {"weather", "clock", "search"}
    assert (max(len(one.calls) for one in parsed) > 1) == (name != LLAMA)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_named_function_is_called_once(name: str):
    tokenizer = tokenizer_of(name)
    structure = structure_for(TOOLS, named("clock"), tokenizer)
    assert structure is not None
    for one in answers(structure, tokenizer):
        check(one)
        assert [call.name for call in one.calls] == ["clock"]


def test_several_calls_are_written_only_where_they_are_wanted():
    tokenizer = tokenizer_of(QWEN)
    structure = structure_for(TOOLS, "required", tokenizer, allows_several=False)
    assert structure is not None
    assert {len(one.calls) for one in answers(structure, tokenizer, 12)} == {1}


@pytest.mark.parametrize("tool_choice", ["auto", "none"])
def test_an_answer_is_free_where_no_call_is_demanded(tool_choice: str):
    assert structure_for(TOOLS, tool_choice, tokenizer_of(QWEN)) is None


@pytest.mark.parametrize(
    ("tools", "tool_choice", "template"),
    [
        ([], "required", QWEN),
        (TOOLS, "any", QWEN),
        (TOOLS, named("calendar"), QWEN),
        (TOOLS, {}, QWEN),
    ],
)
def test_a_choice_that_cannot_be_met_is_refused(tools: list[dict[str, Any]], tool_choice: Any, template: str):
    with pytest.raises(InvalidRequestError) as refused:
        structure_for(tools, tool_choice, tokenizer_of(template))
    assert refused.value.facts["field"] == "tool_choice"


def test_a_model_whose_format_is_not_known_is_held_to_nothing():
    with pytest.raises(InvalidRequestError, match="not known how this model writes calls"):
        structure_for(TOOLS, "required", byte_tokenizer())
