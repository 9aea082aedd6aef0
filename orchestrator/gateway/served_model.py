"""The served model as OpenAI's API describes models."""

import hashlib
from importlib.metadata import version
from typing import Any

from orchestrator.errors import ModelNotServedError
from paceline.v1 import model_pb2
from paceline.v1 import orchestrator_service_pb2 as messages

_DIGITS = 12


def fingerprint(target: model_pb2.ModelInfo) -> str:
    """Return `system_fingerprint`: another one where the same request and seed may give another text."""
    facts = (
        target.name,
        target.weights,
        target.compute_precision,
        target.kv_precision,
        target.vocabulary_sha256,
        target.numerics_digest,
        version("paceline"),
    )
    return "fp_" + hashlib.sha256("\0".join(facts).encode()).hexdigest()[:_DIGITS]


def model_page(answer: messages.OrchestratorServiceGetModelResponse, started_at: int) -> dict[str, Any]:
    """Return the description of the served model for a tenant; vLLM's `max_model_len` among it."""
    target, limits = answer.target, answer.limits
    return {
        "id": target.name,
        "object": "model",
        "created": started_at,
        "owned_by": "paceline",
        "max_model_len": target.max_context_tokens,
        "paceline": {
            "weights": target.weights,
            "draft": answer.draft.name if answer.HasField("draft") else None,
            "system_fingerprint": fingerprint(target),
            "vocabulary_size": target.vocabulary_size,
            "limits": {
                "max_prompt_tokens": limits.max_prompt_tokens,
                "max_tokens": limits.max_tokens,
                "max_draft_tokens": limits.max_draft_tokens,
                "max_choices": limits.max_choices,
                "max_body_bytes": limits.max_message_bytes,
            },
        },
    }


def check_name(name: str, target: model_pb2.ModelInfo) -> None:
    """Raise ModelNotServedError where another model is asked for."""
    if name != target.name:
        raise ModelNotServedError(name, target.name)
