"""A body's fields to the message that the core understands; the core checks what they say."""

import json
import secrets

from orchestrator.gateway.extension import PacelineFields
from orchestrator.gateway.generation_body import (
    FIELDS_OF_A_RESUME,
    GenerationBody,
    ResponseFormat,
    StructuredOutputs,
    text_of,
)
from orchestrator.gateway.http_errors import invalid
from paceline.v1 import orchestrator_service_pb2 as messages
from paceline.v1 import sampling_pb2

# As OpenAI's API has it; gRPC's default is greedy.
DEFAULT_TEMPERATURE = 1.0
# Every number below it is exact in any JSON reader.
_NUM_DRAWN_SEEDS = 1 << 53

_SAMPLING_FIELDS = frozenset(
    {
        "frequency_penalty",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "logit_bias",
        "logprobs",
        "min_p",
        "min_tokens",
        "presence_penalty",
        "repetition_penalty",
        "response_format",
        "seed",
        "structured_outputs",
        "temperature",
        "tool_choice",
        "top_k",
        "top_logprobs",
        "top_p",
    }
)
_STOP_FIELDS = frozenset({"include_stop_str_in_output", "stop", "stop_token_ids"})
_MODES = {
    "adaptive": messages.SPECULATION_MODE_ADAPTIVE,
    "fixed": messages.SPECULATION_MODE_FIXED,
    "off": messages.SPECULATION_MODE_OFF,
}
_DRAFTERS = {
    "model": messages.DRAFTER_MODEL,
    "none": messages.DRAFTER_NONE,
    "prompt_lookup": messages.DRAFTER_PROMPT_LOOKUP,
}
_CONTINUATIONS = {
    "fork": messages.CONTINUATION_MODE_FORK,
    "resume": messages.CONTINUATION_MODE_RESUME,
    "rewind": messages.CONTINUATION_MODE_REWIND,
}
_VERIFICATIONS = {
    "rejection": sampling_pb2.VERIFICATION_REJECTION,
    "shared_noise": sampling_pb2.VERIFICATION_SHARED_NOISE,
}


def request_of(body: GenerationBody, num_logprobs: int | None) -> messages.GenerateRequest:
    """Return the request of a body, still without its input.

    A seed is drawn where none is given, so that it is a number that JavaScript can hold. Raises InvalidRequestError.
    """
    _check_stream_options(body)
    paceline = body.paceline or PacelineFields()
    request = messages.GenerateRequest(model=body.model or "")
    if paceline.continuation is not None:
        request.continuation.mode = _CONTINUATIONS[paceline.continuation.mode]
        request.continuation.rollback_token = paceline.continuation.rollback_token
        if paceline.continuation.mode == "resume":
            _check_resume(body)
            return request
    goes_on = paceline.continuation is not None
    # What is left out of a request that goes on stays as the session has it, both of these as a whole.
    if not goes_on or body.given & _SAMPLING_FIELDS or paceline.verification is not None:
        request.sampling.CopyFrom(_sampling(body, paceline, num_logprobs))
    if not goes_on or body.given & _STOP_FIELDS:
        request.stop.CopyFrom(_stop(body))
    if paceline.speculation is not None:
        request.speculation.CopyFrom(_speculation(paceline))
    if body.n is not None:
        request.num_choices = body.n
    request.ignore_eos = bool(body.ignore_eos)
    if body.prediction is not None:
        request.prediction = text_of(body.prediction.content)
    return request


def _check_stream_options(body: GenerationBody) -> None:
    if body.stream_options is not None and not body.stream:
        raise invalid("stream_options", "stream_options belongs to a stream; set stream, or leave it out")


def _check_resume(body: GenerationBody) -> None:
    """Refuse what a resumed session has already."""
    for name in sorted(body.given - FIELDS_OF_A_RESUME):
        if getattr(body, name) != []:  # OpenAI's client cannot leave its messages out
            raise invalid(
                name, f"{name} is what a session that is resumed has; leave it out, or rewind the session"
            )
    paceline = body.paceline
    assert paceline is not None
    for name in ("speculation", "verification"):
        if getattr(paceline, name) is not None:
            raise invalid(
                f"paceline.{name}",
                f"paceline.{name} is what a session that is resumed has; leave it out, or rewind the session",
            )


def _sampling(
    body: GenerationBody, paceline: PacelineFields, num_logprobs: int | None
) -> messages.GenerationSampling:
    sampling = messages.GenerationSampling(
        temperature=DEFAULT_TEMPERATURE if body.temperature is None else body.temperature,
        seed=secrets.randbelow(_NUM_DRAWN_SEEDS) if body.seed is None else body.seed,
        min_p=body.min_p or 0.0,
        presence_penalty=body.presence_penalty or 0.0,
        frequency_penalty=body.frequency_penalty or 0.0,
        min_tokens=body.min_tokens or 0,
    )
    if body.top_k is not None and body.top_k > 0:
        sampling.top_k = body.top_k
    if body.top_p is not None:
        sampling.top_p = body.top_p
    if body.repetition_penalty is not None:
        sampling.repetition_penalty = body.repetition_penalty
    for token_id, bias in _logit_bias(body).items():
        sampling.logit_bias[token_id] = bias
    if num_logprobs is not None:
        sampling.num_logprobs = num_logprobs
    if paceline.verification is not None:
        sampling.verification = _VERIFICATIONS[paceline.verification]
    structure = structure_of(body)
    if structure is not None:
        sampling.structure.CopyFrom(structure)
    return sampling


def _logit_bias(body: GenerationBody) -> dict[int, float]:
    biases: dict[int, float] = {}
    for text, bias in (body.logit_bias or {}).items():
        token_id = int(text)
        if token_id >= 1 << 32:
            raise invalid("logit_bias", f"logit_bias names the token id {token_id}, which no vocabulary has")
        biases[token_id] = bias
    return biases


def _stop(body: GenerationBody) -> messages.StopConditions:
    texts = [body.stop] if isinstance(body.stop, str) else body.stop or []
    return messages.StopConditions(
        texts=texts, ids=body.stop_token_ids or [], include_text=bool(body.include_stop_str_in_output)
    )


def _speculation(paceline: PacelineFields) -> messages.Speculation:
    fields = paceline.speculation
    assert fields is not None
    speculation = messages.Speculation()
    if fields.mode is not None:
        speculation.mode = _MODES[fields.mode]
    if fields.drafter is not None:
        speculation.drafter = _DRAFTERS[fields.drafter]
    if fields.num_draft_tokens is not None:
        speculation.num_draft_tokens = fields.num_draft_tokens
    return speculation


def structure_of(body: GenerationBody) -> sampling_pb2.Structure | None:
    """Return what the text has to match; raises InvalidRequestError where several things are said of that."""
    wanted = {
        "response_format": _of_response_format(body.response_format),
        "structured_outputs": _of_structured_outputs(body.structured_outputs),
        "guided_json": None if body.guided_json is None else _json(body.guided_json),
        "guided_regex": None
        if body.guided_regex is None
        else sampling_pb2.Structure(regex=body.guided_regex),
        "guided_choice": None if body.guided_choice is None else _choice("guided_choice", body.guided_choice),
        "guided_grammar": (
            None if body.guided_grammar is None else sampling_pb2.Structure(grammar=body.guided_grammar)
        ),
    }
    named = {name: structure for name, structure in wanted.items() if structure is not None}
    if len(named) > 1:
        names = list(named)
        raise invalid(
            names[1], f"{' and '.join(names)} both say what the text has to match; send one of them"
        )
    return next(iter(named.values()), None)


def _of_response_format(wish: ResponseFormat | None) -> sampling_pb2.Structure | None:
    if wish is None or wish.type == "text":
        return None
    if wish.type == "json_object":
        return _json({"type": "object"})
    if wish.json_schema is None:
        raise invalid(
            "response_format.json_schema", "response_format.json_schema is missing; send the schema"
        )
    return _json(wish.json_schema.json_schema)


def _of_structured_outputs(wish: StructuredOutputs | None) -> sampling_pb2.Structure | None:
    if wish is None:
        return None
    wanted = [
        None if wish.json_ is None else _json(wish.json_),
        _json({"type": "object"}) if wish.json_object else None,
        None if wish.regex is None else sampling_pb2.Structure(regex=wish.regex),
        None if wish.choice is None else _choice("structured_outputs.choice", wish.choice),
        None if wish.grammar is None else sampling_pb2.Structure(grammar=wish.grammar),
    ]
    named = [one for one in wanted if one is not None]
    if len(named) != 1:
        raise invalid(
            "structured_outputs",
            f"structured_outputs has {len(named)} of json, json_object, regex, choice and grammar; send exactly one",
        )
    return named[0]


def _json(schema: object) -> sampling_pb2.Structure:
    return sampling_pb2.Structure(json_schema=schema if isinstance(schema, str) else json.dumps(schema))


def _choice(parameter: str, texts: list[str]) -> sampling_pb2.Structure:
    if not texts or "" in texts:
        raise invalid(parameter, f"{parameter} must have at least one text, and none that is empty")
    return sampling_pb2.Structure(choice=sampling_pb2.ChoiceList(texts=texts))
