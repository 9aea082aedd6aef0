"""The description of the API in OpenAPI's form, made of the bodies that are really read."""

from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic.json_schema import models_json_schema

from orchestrator.gateway.chat_body import ChatBody
from orchestrator.gateway.completion_body import CompletionBody
from orchestrator.gateway.http_errors import KIND_OF_REASON

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"enum": sorted({kind.type for kind in KIND_OF_REASON.values()})},
                "param": {"type": ["string", "null"]},
                "code": {"enum": sorted(KIND_OF_REASON)},
            },
        }
    },
}
_OBJECT = {"type": "object"}
_HEADERS = {
    "X-Request-Id": {"schema": {"type": "string"}, "description": "The request's id, here and in logs."}
}


@cache
def description(*, has_keys: bool) -> dict[str, Any]:
    """Return the OpenAPI document; with `has_keys` it says that calls need a key."""
    _, schemas = models_json_schema(
        [(ChatBody, "validation"), (CompletionBody, "validation")],
        ref_template="#/components/schemas/{model}",
    )
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Paceline",
            "version": version("paceline"),
            "description": "OpenAI's API for the served model; docs/http-api.md says what is supported.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(has_keys=has_keys),
        "components": {"schemas": {**schemas["$defs"], "Error": _ERROR}},
    }
    if has_keys:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return document


def _paths(*, has_keys: bool) -> dict[str, Any]:
    locked = {"security": [{"key": []}]} if has_keys else {}
    model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    return {
        "/health": {"get": _page("Whether a generation could begin now", {"503": _json("Not now", _OBJECT)})},
        "/metrics": {"get": {**_page("Prometheus' metrics", kind="text/plain"), **locked}},
        "/openapi.json": {"get": _page("This description")},
        "/paceline/v1/status": {"get": {**_page("The pools, for operators"), **locked}},
        "/v1/models": {"get": {**_page("The served model"), **locked}},
        "/v1/models/{model}": {"get": {**_page("One model"), "parameters": [model], **locked}},
        "/v1/chat/completions": {"post": {**_generation("Answer a conversation", "ChatBody"), **locked}},
        "/v1/completions": {"post": {**_generation("Go on from prompts", "CompletionBody"), **locked}},
    }


def _page(
    summary: str, others: dict[str, Any] | None = None, kind: str = "application/json"
) -> dict[str, Any]:
    content = {"schema": {"type": "string"}} if kind == "text/plain" else {"schema": _OBJECT}
    answer = {"description": summary, "headers": _HEADERS, "content": {kind: content}}
    return {"summary": summary, "responses": {"200": answer, **(others or {}), "default": _error()}}


def _generation(summary: str, body: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{body}"}
    content = {
        "application/json": {"schema": _OBJECT},
        "text/event-stream": {"schema": {"type": "string"}},
    }
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {
                "description": "The answer, whole or as a stream",
                "headers": _HEADERS,
                "content": content,
            },
            "default": _error(),
        },
    }


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _error() -> dict[str, Any]:
    return _json("An error", {"$ref": "#/components/schemas/Error"})
