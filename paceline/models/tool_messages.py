"""Tools, and calls of them, as the OpenAI API writes them in JSON: read and checked before a template sees them.

https://platform.openai.com/docs/api-reference/chat/create has the format. Templates want the arguments of a call as an
object (https://huggingface.co/docs/transformers/chat_extras), where the API has them as JSON in a string.
"""

import json
from typing import Any, TypeAlias, cast

from paceline.errors import InvalidRequestError

JsonObject: TypeAlias = dict[str, Any]

_TOOLS_FIELD = "chat.tools_json"
_CALLS_FIELD = "chat.messages.tool_calls_json"


def tools_of(tools_json: str) -> list[JsonObject]:
    """Return the definitions of a JSON list; none of an empty text. Raises InvalidRequestError."""
    tools = _objects(tools_json, _TOOLS_FIELD)
    for tool in tools:
        _function_of(tool, _TOOLS_FIELD)
    return tools


def tool_calls_of(tool_calls_json: str) -> list[JsonObject]:
    """Return the calls of a JSON list, their arguments as objects; none of an empty text.

    Raises InvalidRequestError.
    """
    return [_with_arguments(call) for call in _objects(tool_calls_json, _CALLS_FIELD)]


def _with_arguments(call: JsonObject) -> JsonObject:
    function = _function_of(call, _CALLS_FIELD)
    return {**call, "function": {**function, "arguments": _arguments_of(function)}}


def _arguments_of(function: JsonObject) -> JsonObject:
    arguments = function.get("arguments", "")
    if isinstance(arguments, str):
        arguments = _parsed(arguments, _CALLS_FIELD) if arguments.strip() else {}
    if not isinstance(arguments, dict):
        raise _refusal(_CALLS_FIELD, f"the arguments of a call of {function['name']!r} are no JSON object")
    return cast("JsonObject", arguments)


def _function_of(entry: JsonObject, field: str) -> JsonObject:
    function: object = entry.get("function")
    if isinstance(function, dict) and isinstance(cast("JsonObject", function).get("name"), str):
        return cast("JsonObject", function)
    raise _refusal(field, 'an entry has no "function" with a "name"')


def _objects(text: str, field: str) -> list[JsonObject]:
    entries = _parsed(text, field) if text else []
    if isinstance(entries, list) and all(isinstance(one, dict) for one in cast("list[object]", entries)):
        return cast("list[JsonObject]", entries)
    raise _refusal(field, "it is no list of objects")


def _parsed(text: str, field: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refusal(field, f"it is no JSON that can be read: {error}") from error


def _refusal(field: str, cause: str) -> InvalidRequestError:
    return InvalidRequestError(f"{field}: {cause}; write it as the OpenAI API has it", field=field)
