"""Events of a generation to the messages that clients get."""

from paceline.client.generation import (
    FinishReason,
    GeneratedToken,
    GenerationEvent,
    GenerationStarted,
    GenerationSummary,
    RecoverySummary,
    TokenChunk,
    TokenOrigin,
)
from paceline.v1 import orchestrator_service_pb2 as messages

_ORIGINS = {
    TokenOrigin.ACCEPTED: messages.TOKEN_ORIGIN_ACCEPTED,
    TokenOrigin.RECOVERED: messages.TOKEN_ORIGIN_RECOVERED,
    TokenOrigin.BONUS: messages.TOKEN_ORIGIN_BONUS,
    TokenOrigin.TARGET: messages.TOKEN_ORIGIN_TARGET,
    TokenOrigin.PROMPT: messages.TOKEN_ORIGIN_PROMPT,
    TokenOrigin.REPLAYED: messages.TOKEN_ORIGIN_REPLAYED,
}
_FINISH_REASONS = {
    FinishReason.STOP: messages.FINISH_REASON_STOP,
    FinishReason.LENGTH: messages.FINISH_REASON_LENGTH,
    FinishReason.CONTEXT: messages.FINISH_REASON_CONTEXT,
}


def event_message(event: GenerationEvent, choice: int) -> messages.GenerateResponse:
    """Return an event of a choice as its message."""
    match event:
        case GenerationStarted():
            return messages.GenerateResponse(
                started=messages.GenerationStarted(
                    session_id=event.session_id,
                    num_prompt_tokens=event.num_prompt_tokens,
                    model=event.model,
                    seed=event.seed,
                    position=event.position,
                    rollback_token=event.rollback_token,
                ),
                choice=choice,
            )
        case TokenChunk():
            return messages.GenerateResponse(chunk=_chunk(event), choice=choice)
        case GenerationSummary():
            return messages.GenerateResponse(summary=_summary(event), choice=choice)


def _chunk(chunk: TokenChunk) -> messages.TokenChunk:
    return messages.TokenChunk(
        position=chunk.position,
        tokens=map(_token, chunk.tokens),
        text=chunk.text,
        round=chunk.round,
        num_accepted=chunk.num_accepted,
        rollback_token=chunk.rollback_token,
    )


def _token(token: GeneratedToken) -> messages.GeneratedToken:
    return messages.GeneratedToken(
        id=token.id,
        text=token.text,
        origin=_ORIGINS[token.origin],
        logprob=token.logprob,
        alternatives=[
            messages.TokenAlternative(id=one.id, text=one.text, logprob=one.logprob)
            for one in token.alternatives
        ],
    )


def _summary(summary: GenerationSummary) -> messages.GenerationSummary:
    usage, speculation, timing = summary.usage, summary.speculation, summary.timing
    return messages.GenerationSummary(
        finish_reason=_FINISH_REASONS[summary.finish_reason],
        usage=messages.Usage(
            num_prompt_tokens=usage.num_prompt_tokens,
            num_completion_tokens=usage.num_completion_tokens,
            num_cached_prompt_tokens=usage.num_cached_prompt_tokens,
        ),
        speculation=messages.SpeculationSummary(
            num_rounds=speculation.num_rounds,
            num_draft_tokens=speculation.num_draft_tokens,
            num_accepted_tokens=speculation.num_accepted_tokens,
            num_drafted_per_position=speculation.num_drafted_per_position,
            num_accepted_per_position=speculation.num_accepted_per_position,
            num_ahead_tokens=speculation.num_ahead_tokens,
            num_degraded_rounds=speculation.num_degraded_rounds,
            num_rounds_by_drafter=speculation.num_rounds_by_drafter,
            num_rounds_per_draft_length=speculation.num_rounds_per_draft_length,
        ),
        timing=messages.GenerationTiming(
            time_to_first_token_seconds=timing.time_to_first_token_seconds,
            time_per_output_token_seconds=timing.time_per_output_token_seconds,
            total_seconds=timing.total_seconds,
            draft_seconds=timing.draft_seconds,
            verify_seconds=timing.verify_seconds,
            queue_seconds=timing.queue_seconds,
            network_seconds=timing.network_seconds,
            commit_seconds=timing.commit_seconds,
        ),
        stop_text=summary.stop_text,
        stop_id=summary.stop_id,
        recovery=_recovery(summary.recovery),
        rollback_token=summary.rollback_token,
    )


def _recovery(recovery: RecoverySummary) -> messages.RecoverySummary:
    return messages.RecoverySummary(
        num_failovers=recovery.num_failovers,
        num_rebuilt_tokens=recovery.num_rebuilt_tokens,
        num_replayed_tokens=recovery.num_replayed_tokens,
        num_restored_records=recovery.num_restored_records,
        detection_seconds=recovery.detection_seconds,
        takeover_seconds=recovery.takeover_seconds,
        rebuild_seconds=recovery.rebuild_seconds,
    )
