"""The structure that holds a model to calling tools, in the format that it was trained with.

The arguments of a call then match the tool's own schema, as far as docs/structured-output.md says what is served.
"""

import json
from collections.abc import Iterator, Sequence
from typing import cast

from paceline.errors import InvalidRequestError
from paceline.models.tokenizer import Tokenizer
from paceline.models.tool_format import HERMES, MISTRAL, ToolFormat, tool_format_of
from paceline.models.tool_messages import JsonObject
from paceline.sampling.parameters import Structure, StructureKind

# Says what a schema is about and not what matches it: left out, so that more tools fit into a structure.
_ANNOTATIONS = frozenset({"$comment", "default", "description", "examples", "title"})
_MAPS_OF_SCHEMAS = frozenset({"$defs", "definitions", "patternProperties", "properties"})
_LISTS_OF_SCHEMAS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SCHEMAS = frozenset({"additionalProperties", "items"})
# What makes a schema one of objects, or says otherwise.
_KINDS = frozenset({"$ref", "allOf", "anyOf", "const", "enum", "oneOf", "type"})
_NEWLINE = "\n"
_NO_ARGUMENTS: JsonObject = {"type": "object", "properties": {}, "additionalProperties": False}
# As for other schemas: one space at most where JSON allows any, and no escapes that could spell another key.
_JSON_OPTIONS: JsonObject = {
    "whitespace_pattern": " ",
    "item_separator": ",",
    "key_separator": ":",
    "json_allowed_escapes": 'nrbtf\\"',
    "lenient": False,
    "coerce_one_of": False,
}


def structure_for(
    tools: Sequence[JsonObject],
    tool_choice: str | JsonObject,
    tokenizer: Tokenizer,
    *,
    allows_several: bool = True,
) -> Structure | None:
    """Return what the text of an answer must match for an OpenAI `tool_choice`; None where it is free.

    "required" holds the model to one call or, where `allows_several` and its format has several, to some; a choice of a
    function to one call of it. Raises InvalidRequestError.
    """
    chosen = _chosen(tools, tool_choice)
    if not chosen:
        return None
    tool_format = tool_format_of(tokenizer.chat_template_source)
    if tool_format is None:
        raise _refusal(
            "it is not known how this model writes calls of tools, so that it cannot be held to one",
            'choose "auto" or "none"',
        )
    has_several = allows_several and tool_format.has_several and isinstance(tool_choice, str)
    opening_id = tokenizer.control_id(tool_format.frame.opening)
    lines = [
        f"start: {_start(tool_format, opening_id, has_several=has_several)}",
        *_bodies(chosen, tool_format),
    ]
    return Structure(StructureKind.GRAMMAR, "\n".join(lines))


def _chosen(tools: Sequence[JsonObject], tool_choice: str | JsonObject) -> list[JsonObject]:
    """Return the functions one of which must be called; none where nothing must."""
    functions = [cast("JsonObject", tool["function"]) for tool in tools]
    if isinstance(tool_choice, str):
        if tool_choice not in {"auto", "none", "required"}:
            raise _refusal(
                f"it is {tool_choice!r}", 'it must be "auto", "none", "required" or name a function'
            )
        if tool_choice == "required" and not functions:
            raise _refusal('it is "required" and there are no tools', "send some")
        return functions if tool_choice == "required" else []
    name = _name_in(tool_choice)
    chosen = [function for function in functions if function["name"] == name]
    if not chosen:
        raise _refusal(f"no tool has the name {name!r}", "choose one of those in `tools`")
    return chosen[:1]


def _name_in(tool_choice: JsonObject) -> object:
    function: object = tool_choice.get("function")
    return cast("JsonObject", function).get("name") if isinstance(function, dict) else None


def _refusal(cause: str, advice: str) -> InvalidRequestError:
    return InvalidRequestError(f"tool_choice: {cause}; {advice}", field="tool_choice")


def _start(tool_format: ToolFormat, opening_id: int | None, *, has_several: bool) -> str:
    """Return what the text is, of rules `body`, in the Lark format of llguidance."""
    if tool_format is MISTRAL:
        opening = _quoted(MISTRAL.frame.opening) if opening_id is None else f"<[{opening_id}]>"
        return f'{opening} "[" {_repeated("body", ", ", has_several=has_several)} "]"'
    if tool_format is HERMES:
        call = f"{_quoted(HERMES.frame.opening + _NEWLINE)} body {_quoted(_NEWLINE + HERMES.frame.closing)}"
        return _repeated(call, _NEWLINE, has_several=has_several)
    return "body"


def _repeated(call: str, separator: str, *, has_several: bool) -> str:
    return f"{call} ({_quoted(separator)} {call})*" if has_several else call


def _bodies(functions: Sequence[JsonObject], tool_format: ToolFormat) -> Iterator[str]:
    """Yield the rules of the JSON of calls; a schema of arguments is a document of its own, as `$ref` needs it."""
    yield "body: " + " | ".join(f"body_{place}" for place in range(len(functions)))
    for place, function in enumerate(functions):
        name = json.dumps(function["name"], ensure_ascii=False)
        beginning = f'{{"name": {name}, "{tool_format.arguments_key}": '
        yield f'body_{place}: {_quoted(beginning)} arguments_{place} "}}"'
        yield f"arguments_{place}: %json {_schema(function)}"


def _quoted(text: str) -> str:
    """Return a text as Lark writes it; JSON's escapes are those of Lark strings."""
    return json.dumps(text, ensure_ascii=False)


def _schema(function: JsonObject) -> str:
    """Return the schema of a function's arguments, which are an object in any case."""
    parameters: object = function.get("parameters")
    schema = cast("JsonObject", parameters) if isinstance(parameters, dict) else _NO_ARGUMENTS
    if not _KINDS & schema.keys():
        schema = {**schema, "type": "object"}
    whole = {**cast("JsonObject", _bare(schema)), "x-guidance": _JSON_OPTIONS}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def _bare(schema: object) -> object:
    """Return a schema without annotations, which are told from properties that have their names."""
    if not isinstance(schema, dict):
        return schema
    bare: JsonObject = {}
    for keyword, value in cast("JsonObject", schema).items():
        if keyword in _MAPS_OF_SCHEMAS and isinstance(value, dict):
            bare[keyword] = {name: _bare(one) for name, one in cast("JsonObject", value).items()}
        elif keyword in _LISTS_OF_SCHEMAS and isinstance(value, list):
            bare[keyword] = [_bare(one) for one in cast("list[object]", value)]
        elif keyword in _SCHEMAS:
            bare[keyword] = _bare(value)
        elif keyword not in _ANNOTATIONS:
            bare[keyword] = value
    return bare
