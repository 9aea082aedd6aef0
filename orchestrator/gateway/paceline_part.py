"""The object `paceline` in answers; docs/http-api.md tells what is in it."""

from typing import Any

from orchestrator.gateway.message_json import enum_word, plain
from orchestrator.gateway.token_texts import json_logprob
from paceline.v1 import orchestrator_service_pb2 as messages

# Each chunk is on the way of a round: what it is made of is looked up here, and not in descriptors.
_ORIGINS = {
    number: enum_word(messages.TokenOrigin.DESCRIPTOR, number) for number in messages.TokenOrigin.values()
}


def started_part(started: messages.GenerationStarted) -> dict[str, Any]:
    """Return that a session exists."""
    return {
        "session_id": started.session_id,
        "seed": started.seed,
        "position": started.position,
        "rollback_token": started.rollback_token,
        "num_prompt_tokens": started.num_prompt_tokens,
        "trace_id": started.trace_id,
    }


def chunk_part(chunk: messages.TokenChunk, *, includes_tokens: bool) -> dict[str, Any]:
    """Return what a round brought."""
    part: dict[str, Any] = {
        "round": chunk.round,
        "epoch": chunk.epoch,
        "position": chunk.position,
        "num_accepted": chunk.num_accepted,
        "num_draft_tokens": chunk.num_draft_tokens,
        "rollback_token": chunk.rollback_token,
    }
    if chunk.HasField("timing"):
        part["timing"] = _timing_part(chunk.timing)
    if includes_tokens:
        part["tokens"] = [token_part(token) for token in chunk.tokens]
    return part


def _timing_part(timing: messages.ChunkTiming) -> dict[str, float]:
    return {
        "draft_seconds": timing.draft_seconds,
        "network_seconds": timing.network_seconds,
        "queue_seconds": timing.queue_seconds,
        "verify_seconds": timing.verify_seconds,
        "commit_seconds": timing.commit_seconds,
    }


def summary_part(summary: messages.GenerationSummary) -> dict[str, Any]:
    """Return what became of a generation."""
    return {"summary": plain(summary)}


def token_part(token: messages.GeneratedToken) -> dict[str, Any]:
    """Return a token, with its log-probabilities where they were asked for."""
    part: dict[str, Any] = {
        "id": token.id,
        "text": token.text,
        "origin": _ORIGINS[token.origin],
    }
    if token.HasField("logprob"):
        part["logprob"] = json_logprob(token.logprob)
        part["alternatives"] = [
            {"id": one.id, "text": one.text, "logprob": json_logprob(one.logprob)}
            for one in token.alternatives
        ]
    return part
