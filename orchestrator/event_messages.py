"""Events of a generation to the messages that clients get."""

from paceline.client.generation import (
    ChunkTiming,
    DraftLengthChoice,
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
                    trace_id=event.trace_id,
                ),
                choice=choice,
            )
        case TokenChunk():
            return _chunk_message(event, choice)
        case GenerationSummary():
            return messages.GenerateResponse(summary=_summary(event), choice=choice)


def _chunk_message(chunk: TokenChunk, choice: int) -> messages.GenerateResponse:
    """Return a chunk as its message, filled in place: what is built apart is copied into what it is part of."""
    response = messages.GenerateResponse(choice=choice)
    message = response.chunk
    message.position = chunk.position
    message.text = chunk.text
    message.round = chunk.round
    message.num_accepted = chunk.num_accepted
    message.rollback_token = chunk.rollback_token
    message.num_draft_tokens = chunk.num_draft_tokens
    message.epoch = chunk.epoch
    if chunk.timing is not None:
        _fill_timing(message.timing, chunk.timing)
    for token in chunk.tokens:
        _fill(message.tokens.add(), token)
    return response


def _fill_timing(message: messages.ChunkTiming, timing: ChunkTiming) -> None:
    message.draft_seconds = timing.draft_seconds
    message.network_seconds = timing.network_seconds
    message.queue_seconds = timing.queue_seconds
    message.verify_seconds = timing.verify_seconds
    message.commit_seconds = timing.commit_seconds


def _fill(message: messages.GeneratedToken, token: GeneratedToken) -> None:
    message.id = token.id
    message.text = token.text
    message.origin = _ORIGINS[token.origin]
    if token.logprob is not None:
        message.logprob = token.logprob
    for one in token.alternatives:
        message.alternatives.add(id=one.id, text=one.text, logprob=one.logprob)


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
            choice=_choice(speculation.choice) if speculation.choice is not None else None,
            num_proposals_by_ahead_outcome=speculation.num_proposals_by_ahead_outcome,
            num_dropped_tokens=speculation.num_dropped_tokens,
            num_accepted_prediction_tokens=speculation.num_accepted_prediction_tokens,
            num_rejected_prediction_tokens=speculation.num_rejected_prediction_tokens,
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


def _choice(choice: DraftLengthChoice) -> messages.DraftLengthChoice:
    return messages.DraftLengthChoice(
        num_draft_tokens=choice.num_draft_tokens,
        max_ahead_tokens=choice.max_ahead_tokens,
        reason=choice.reason,
        acceptance=choice.acceptance,
        tokens_per_round=choice.tokens_per_round,
        tokens_per_second=choice.tokens_per_second,
        target_only_tokens_per_second=choice.target_only_tokens_per_second,
        draft_seconds=choice.draft_seconds,
        pass_seconds=choice.pass_seconds,
        num_reported_draft_tokens=choice.num_reported_draft_tokens,
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
