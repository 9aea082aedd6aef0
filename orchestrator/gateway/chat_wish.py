"""A body of `POST /v1/chat/completions` to the request that the core serves."""

import json
from collections.abc import Sequence

from orchestrator.gateway.chat_body import ChatBody, ChatBodyMessage
from orchestrator.gateway.generation_body import text_of
from orchestrator.gateway.http_errors import invalid
from orchestrator.gateway.tool_wish import ToolPlan, call_structure, schema_of
from orchestrator.gateway.wishes import request_of, structure_of
from paceline.v1 import orchestrator_service_pb2 as messages

# OpenAI's newer name of a role that templates know by the older one.
_ROLES = {"developer": "system"}


def chat_request(
    body: ChatBody, limits: messages.GenerationLimits, plan: ToolPlan | None
) -> messages.GenerateRequest:
    """Return the request of a body, whose tools are called by a plan; raises InvalidRequestError."""
    request = request_of(body, _num_logprobs(body))
    if request.continuation.mode == messages.CONTINUATION_MODE_RESUME:
        return request
    if not body.messages and body.continuation is None:
        raise invalid("messages", "messages is missing; send at least one")
    if body.messages:
        _check_number(body.messages, limits)
        request.chat.messages.extend(map(_message, body.messages))
        request.chat.tools_json = plan.tools_json if plan is not None else ""
    if plan is not None:
        structure = call_structure(plan, schema_of(structure_of(body)))
        if structure is not None:
            request.sampling.structure.CopyFrom(structure)
    max_tokens = _max_tokens(body)
    if max_tokens is not None:
        request.max_tokens = max_tokens
    elif body.messages:
        request.max_tokens = limits.max_tokens
    return request


def _check_number(sent: Sequence[ChatBodyMessage], limits: messages.GenerationLimits) -> None:
    """Refuse what cannot fit before any work is done for it: each message comes to a token at least."""
    if len(sent) > limits.max_prompt_tokens:
        raise invalid(
            "messages",
            f"messages has {len(sent)} entries and at most {limits.max_prompt_tokens} tokens fit; shorten it",
        )


def _num_logprobs(body: ChatBody) -> int | None:
    if body.top_logprobs is not None and not body.logprobs:
        raise invalid("top_logprobs", "top_logprobs belongs to logprobs; set logprobs, or leave it out")
    return (body.top_logprobs or 0) if body.logprobs else None


def _max_tokens(body: ChatBody) -> int | None:
    if body.max_tokens is not None and body.max_completion_tokens is not None:
        raise invalid(
            "max_tokens", "max_tokens is the former name of max_completion_tokens; send one of them"
        )
    return body.max_completion_tokens if body.max_tokens is None else body.max_tokens


def _message(message: ChatBodyMessage) -> messages.ChatMessage:
    calls = [call.model_dump() for call in message.tool_calls or ()]
    return messages.ChatMessage(
        role=_ROLES.get(message.role, message.role),
        content="" if message.content is None else text_of(message.content),
        tool_calls_json=json.dumps(calls, ensure_ascii=False) if calls else "",
        tool_call_id=message.tool_call_id or "",
        name=message.name or "",
    )
