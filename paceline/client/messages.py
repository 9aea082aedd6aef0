"""The client's dataclasses to protobuf messages and back."""

from paceline.client.generation import (
    Chat,
    ChunkTiming,
    ContinuationMode,
    Drafter,
    DraftLengthChoice,
    FinishReason,
    GeneratedToken,
    GenerationEvent,
    GenerationRequest,
    GenerationStarted,
    GenerationSummary,
    GenerationTiming,
    PromptIds,
    RawPrompt,
    RecoverySummary,
    Sampling,
    Speculation,
    SpeculationMode,
    SpeculationSummary,
    StopConditions,
    TokenAlternative,
    TokenChunk,
    TokenOrigin,
    Usage,
)
from paceline.client.served_model import ServedModel, ServedModels
from paceline.models.chat_message import ChatMessage
from paceline.serving.sampling_messages import structure_message, verification_message
from paceline.v1 import model_pb2
from paceline.v1 import orchestrator_service_pb2 as pb

_MODES = {
    SpeculationMode.AS_CONFIGURED: pb.SPECULATION_MODE_UNSPECIFIED,
    SpeculationMode.OFF: pb.SPECULATION_MODE_OFF,
    SpeculationMode.FIXED: pb.SPECULATION_MODE_FIXED,
    SpeculationMode.ADAPTIVE: pb.SPECULATION_MODE_ADAPTIVE,
}
_DRAFTERS = {
    None: pb.DRAFTER_UNSPECIFIED,
    Drafter.MODEL: pb.DRAFTER_MODEL,
    Drafter.PROMPT_LOOKUP: pb.DRAFTER_PROMPT_LOOKUP,
    Drafter.NONE: pb.DRAFTER_NONE,
}
_CONTINUATION_MODES = {
    ContinuationMode.RESUME: pb.CONTINUATION_MODE_RESUME,
    ContinuationMode.REWIND: pb.CONTINUATION_MODE_REWIND,
    ContinuationMode.FORK: pb.CONTINUATION_MODE_FORK,
}
_ORIGINS = {
    pb.TOKEN_ORIGIN_ACCEPTED: TokenOrigin.ACCEPTED,
    pb.TOKEN_ORIGIN_RECOVERED: TokenOrigin.RECOVERED,
    pb.TOKEN_ORIGIN_BONUS: TokenOrigin.BONUS,
    pb.TOKEN_ORIGIN_TARGET: TokenOrigin.TARGET,
    pb.TOKEN_ORIGIN_PROMPT: TokenOrigin.PROMPT,
    pb.TOKEN_ORIGIN_REPLAYED: TokenOrigin.REPLAYED,
}
_FINISH_REASONS = {
    pb.FINISH_REASON_STOP: FinishReason.STOP,
    pb.FINISH_REASON_LENGTH: FinishReason.LENGTH,
    pb.FINISH_REASON_CONTEXT: FinishReason.CONTEXT,
}


def request_message(request: GenerationRequest) -> pb.GenerateRequest:
    """Return a request as the message."""
    message = pb.GenerateRequest(
        model=request.model or "",
        max_tokens=request.max_tokens,
        ignore_eos=request.ignore_eos,
        echo=request.echo,
        prediction=request.prediction,
    )
    if request.speculation != Speculation():
        message.speculation.CopyFrom(_speculation_message(request.speculation))
    if request.sampling != Sampling():
        message.sampling.CopyFrom(_sampling_message(request.sampling))
    if request.stop != StopConditions():
        stop = request.stop
        message.stop.CopyFrom(
            pb.StopConditions(texts=stop.texts, ids=stop.ids, include_text=stop.include_text)
        )
    if request.num_choices != 1:
        message.num_choices = request.num_choices
    match request.prompt:
        case RawPrompt(text):
            message.prompt = text
        case Chat(messages, tools_json):
            turns = map(_turn_message, messages)
            message.chat.CopyFrom(pb.ChatInput(messages=turns, tools_json=tools_json))
        case PromptIds(ids):
            message.token_ids.CopyFrom(pb.TokenIdsInput(ids=ids))
        case None:
            pass
    if request.continuation is not None:
        token, mode = request.continuation.rollback_token, _CONTINUATION_MODES[request.continuation.mode]
        message.continuation.CopyFrom(pb.Continuation(rollback_token=token, mode=mode))
    return message


def event_of(message: pb.GenerateResponse) -> GenerationEvent | None:
    """Return the event of a message; None for a kind that this version does not know."""
    match message.WhichOneof("event"):
        case "started":
            started = message.started
            return GenerationStarted(
                started.session_id,
                started.num_prompt_tokens,
                started.model,
                started.seed,
                message.choice,
                started.position,
                started.rollback_token,
                started.trace_id,
            )
        case "chunk":
            return _chunk(message.chunk, message.choice)
        case "summary":
            return _summary(message.summary, message.choice)
        case _:
            return None


def served_models_of(message: pb.OrchestratorServiceGetModelResponse) -> ServedModels:
    """Return the served models of the message."""
    draft = _served_model(message.draft) if message.HasField("draft") else None
    return ServedModels(_served_model(message.target), draft)


def _served_model(info: model_pb2.ModelInfo) -> ServedModel:
    return ServedModel(
        info.name,
        info.weights,
        info.compute_precision,
        info.kv_precision,
        info.device,
        info.max_context_tokens,
        info.self_test.batch_invariant,
    )


def _turn_message(turn: ChatMessage) -> pb.ChatMessage:
    return pb.ChatMessage(
        role=turn.role,
        content=turn.content,
        tool_calls_json=turn.tool_calls_json,
        tool_call_id=turn.tool_call_id,
        name=turn.name,
    )


def _speculation_message(speculation: Speculation) -> pb.Speculation:
    return pb.Speculation(
        mode=_MODES[speculation.mode],
        num_draft_tokens=speculation.num_draft_tokens,
        drafter=_DRAFTERS[speculation.drafter],
    )


def _sampling_message(sampling: Sampling) -> pb.GenerationSampling:
    return pb.GenerationSampling(
        temperature=sampling.temperature,
        seed=sampling.seed,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        logit_bias=sampling.logit_bias,
        min_tokens=sampling.min_tokens,
        num_logprobs=sampling.num_logprobs,
        verification=verification_message(sampling.verification),
        structure=structure_message(sampling.structure) if sampling.structure is not None else None,
    )


def _chunk(chunk: pb.TokenChunk, choice: int) -> TokenChunk:
    tokens = tuple(map(_token, chunk.tokens))
    return TokenChunk(
        chunk.position,
        tokens,
        chunk.text,
        chunk.round,
        chunk.num_accepted,
        choice,
        chunk.rollback_token,
        _chunk_timing(chunk.timing) if chunk.HasField("timing") else None,
        chunk.num_draft_tokens,
        chunk.epoch,
    )


def _chunk_timing(timing: pb.ChunkTiming) -> ChunkTiming:
    return ChunkTiming(
        timing.draft_seconds,
        timing.network_seconds,
        timing.queue_seconds,
        timing.verify_seconds,
        timing.commit_seconds,
    )


def _token(token: pb.GeneratedToken) -> GeneratedToken:
    alternatives = tuple(TokenAlternative(one.id, one.text, one.logprob) for one in token.alternatives)
    logprob = token.logprob if token.HasField("logprob") else None
    return GeneratedToken(token.id, token.text, _ORIGINS[token.origin], logprob, alternatives)


def _choice(choice: pb.DraftLengthChoice) -> DraftLengthChoice:
    return DraftLengthChoice(
        choice.num_draft_tokens,
        choice.max_ahead_tokens,
        choice.reason,
        choice.acceptance,
        choice.tokens_per_round,
        choice.tokens_per_second,
        choice.target_only_tokens_per_second,
        choice.draft_seconds,
        choice.pass_seconds,
        choice.num_reported_draft_tokens,
    )


def _summary(summary: pb.GenerationSummary, choice: int) -> GenerationSummary:
    usage, speculation, timing = summary.usage, summary.speculation, summary.timing
    return GenerationSummary(
        _FINISH_REASONS[summary.finish_reason],
        Usage(usage.num_prompt_tokens, usage.num_completion_tokens, usage.num_cached_prompt_tokens),
        SpeculationSummary(
            speculation.num_rounds,
            speculation.num_draft_tokens,
            speculation.num_accepted_tokens,
            tuple(speculation.num_drafted_per_position),
            tuple(speculation.num_accepted_per_position),
            speculation.num_ahead_tokens,
            dict(speculation.num_degraded_rounds),
            dict(speculation.num_rounds_by_drafter),
            tuple(speculation.num_rounds_per_draft_length),
            _choice(speculation.choice) if speculation.HasField("choice") else None,
            dict(speculation.num_proposals_by_ahead_outcome),
            speculation.num_dropped_tokens,
            speculation.num_accepted_prediction_tokens,
            speculation.num_rejected_prediction_tokens,
        ),
        GenerationTiming(
            timing.time_to_first_token_seconds,
            timing.time_per_output_token_seconds,
            timing.total_seconds,
            timing.draft_seconds,
            timing.verify_seconds,
            timing.queue_seconds,
            timing.network_seconds,
            timing.commit_seconds,
        ),
        summary.stop_text if summary.HasField("stop_text") else None,
        summary.stop_id if summary.HasField("stop_id") else None,
        choice,
        _recovery(summary.recovery),
        summary.rollback_token,
    )


def _recovery(recovery: pb.RecoverySummary) -> RecoverySummary:
    return RecoverySummary(
        dict(recovery.num_failovers),
        recovery.num_rebuilt_tokens,
        recovery.num_replayed_tokens,
        recovery.num_restored_records,
        recovery.detection_seconds,
        recovery.takeover_seconds,
        recovery.rebuild_seconds,
    )
