"""The body of `POST /v1/chat/completions`."""

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.gateway.extension import Items, Uint32
from orchestrator.gateway.generation_body import GenerationBody, JsonSchema, Lenient, Text


class CalledFunction(Lenient):
    """A call that an earlier answer made; the arguments are JSON."""

    name: str
    arguments: str


class MessageToolCall(Lenient):
    """A call in a message of the assistant."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class ChatBodyMessage(Lenient):
    """One message of a conversation."""

    role: Annotated[
        str, Field(description="system, developer, user, assistant, tool, or what the template knows.")
    ]
    content: Text | None = None
    name: str | None = None
    tool_calls: Items[MessageToolCall] | None = None
    tool_call_id: str | None = None


class FunctionDefinition(Lenient):
    """A function that the model may call."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")]
    description: str | None = None
    parameters: JsonSchema | None = None
    strict: bool | None = None


class Tool(Lenient):
    """A tool; there are only functions."""

    type: Literal["function"]
    function: FunctionDefinition


class NamedFunction(Lenient):
    """The name of a function."""

    name: str


class NamedTool(Lenient):
    """The one function that has to be called."""

    type: Literal["function"]
    function: NamedFunction


class ChatBody(GenerationBody):
    """A conversation to answer."""

    messages: Items[ChatBodyMessage] | None = None
    max_completion_tokens: Uint32 | None = None
    logprobs: bool | None = None
    top_logprobs: Uint32 | None = None
    tools: Items[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
