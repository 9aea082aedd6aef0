"""Tools of a chat: how the model is told of them, and what its text must look like where it has to call one."""

import json
from dataclasses import dataclass
from typing import Any

from orchestrator.gateway.chat_body import ChatBody, NamedTool
from orchestrator.gateway.http_errors import invalid
from paceline.models.tokenizer import Tokenizer
from paceline.models.tool_format import ToolFormat, tool_format_of
from paceline.models.tool_structure import structure_for
from paceline.sampling.parameters import StructureKind
from paceline.sampling.structure_grammar import MAX_STRUCTURE_BYTES
from paceline.v1 import sampling_pb2

# As structures of kind json_schema are read (paceline.sampling.structure_grammar), which a grammar has to say itself.
_JSON_MANNERS = {
    "whitespace_pattern": " ",
    "item_separator": ",",
    "key_separator": ":",
    "json_allowed_escapes": 'nrbtf\\"',
    "lenient": False,
    "coerce_one_of": False,
}
_START = "start: "


@dataclass(frozen=True)
class ToolPlan:
    """Tools that an answer may call.

    Attributes:
        tools_json: The tools as the model's chat template takes them.
        names: Their names.
        tool_format: How the model writes calls.
        is_single: Whether it may make one call only.
        calls: The grammar of the calls.
        must_call: Whether the text has to be that.
    """

    tools_json: str
    names: frozenset[str]
    tool_format: ToolFormat
    is_single: bool
    calls: str
    must_call: bool


def tool_plan(body: ChatBody, tokenizer: Tokenizer) -> ToolPlan | None:
    """Return how tools are to be called; None where none may be. Raises InvalidRequestError."""
    choice = body.tool_choice or "auto"
    is_named = isinstance(choice, NamedTool)
    must_call = is_named or choice == "required"
    if not body.tools and must_call:
        raise invalid("tool_choice", "tool_choice asks for a call and there are no tools; send tools")
    if not body.tools or choice == "none":
        return None
    tool_format = tool_format_of(tokenizer.chat_template_source)
    if tool_format is None:
        raise invalid(
            "tools",
            "tools cannot be called: the chat template of the served model teaches no way that is known here",
        )
    tools = [
        {"type": "function", "function": tool.function.model_dump(exclude_none=True, exclude={"strict"})}
        for tool in body.tools
    ]
    is_single = is_named or body.parallel_tool_calls is False or not tool_format.has_several
    wanted = choice.model_dump() if isinstance(choice, NamedTool) else "required"
    structure = structure_for(tools, wanted, tokenizer, allows_several=not is_single)
    assert structure is not None, "a call is wanted"
    names = frozenset(tool.function.name for tool in body.tools)
    tools_json = json.dumps(tools, ensure_ascii=False)
    return ToolPlan(tools_json, names, tool_format, is_single, structure.text, must_call)


def call_structure(plan: ToolPlan, answer_schema: object | None) -> sampling_pb2.Structure | None:
    """Return what the text must match: calls where it must call, else calls or an answer of the schema."""
    if plan.must_call:
        return _grammar(plan.calls)
    if answer_schema is None:
        return None
    assert plan.calls.startswith(_START), plan.calls
    calls = "calls: " + plan.calls.removeprefix(_START)
    answer = f"answer: %json {_json_rule(answer_schema)}"
    return _grammar("\n".join(("start: calls | answer", calls, answer)))


def _grammar(grammar: str) -> sampling_pb2.Structure:
    if len(grammar.encode()) > MAX_STRUCTURE_BYTES[StructureKind.GRAMMAR]:
        raise invalid(
            "tools",
            "tools have schemas that are too large to hold the answer to; send fewer, or leave tool_choice and "
            "response_format out",
        )
    return sampling_pb2.Structure(grammar=grammar)


def schema_of(structure: sampling_pb2.Structure | None) -> object | None:
    """Return the schema of an answer that calls nothing; raises InvalidRequestError over other structures."""
    if structure is None:
        return None
    if structure.WhichOneof("kind") != "json_schema":
        raise invalid(
            "tools", "tools go together with JSON only: send response_format, or leave the tools out"
        )
    try:
        return json.loads(structure.json_schema)
    except (ValueError, RecursionError):
        raise invalid("guided_json", "guided_json is not JSON") from None


def _json_rule(schema: object) -> str:
    manners: dict[str, Any] = {"x-guidance": _JSON_MANNERS}
    return json.dumps({**schema, **manners} if isinstance(schema, dict) else manners)
