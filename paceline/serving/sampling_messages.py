"""Sampling parameters on the wire between orchestrator and replicas, both directions, and structures from clients."""

import json

from paceline.errors import InvalidRequestError
from paceline.sampling.parameters import SamplingParameters, Structure, StructureKind, Verification
from paceline.sampling.token_logprobs import TokenLogprobs
from paceline.v1 import round_pb2, sampling_pb2

_VERIFICATIONS: "dict[Verification | None, sampling_pb2.Verification.ValueType]" = {
    None: sampling_pb2.VERIFICATION_UNSPECIFIED,
    Verification.SHARED_NOISE: sampling_pb2.VERIFICATION_SHARED_NOISE,
    Verification.REJECTION: sampling_pb2.VERIFICATION_REJECTION,
}
_OF_MESSAGE: dict[int, Verification] = {
    message: verification for verification, message in _VERIFICATIONS.items() if verification is not None
}


def sampling_from(message: round_pb2.SamplingParameters) -> SamplingParameters:
    """Return the parameters of a message, not yet checked; raises InvalidRequestError for what no parameter can be."""
    return SamplingParameters(
        temperature=message.temperature,
        seed=message.seed,
        top_k=message.top_k if message.HasField("top_k") else None,
        top_p=message.top_p if message.HasField("top_p") else 1.0,
        min_p=message.min_p,
        repetition_penalty=message.repetition_penalty if message.HasField("repetition_penalty") else 1.0,
        presence_penalty=message.presence_penalty,
        frequency_penalty=message.frequency_penalty,
        logit_bias=tuple((one.id, one.bias) for one in message.logit_bias),
        min_tokens=message.min_tokens,
        end_ids=tuple(message.end_ids),
        num_prompt_tokens=message.num_prompt_tokens,
        num_logprobs=message.num_logprobs if message.HasField("num_logprobs") else None,
        verification=verification_from(message.verification, Verification.SHARED_NOISE),
        structure=structure_from(message.structure) if message.HasField("structure") else None,
    )


def sampling_message(parameters: SamplingParameters) -> round_pb2.SamplingParameters:
    """Return parameters as their message; every field is set, so that nothing is left to the reader's defaults."""
    return round_pb2.SamplingParameters(
        temperature=parameters.temperature,
        seed=parameters.seed,
        top_k=parameters.top_k,
        top_p=parameters.top_p,
        min_p=parameters.min_p,
        repetition_penalty=parameters.repetition_penalty,
        presence_penalty=parameters.presence_penalty,
        frequency_penalty=parameters.frequency_penalty,
        logit_bias=[round_pb2.LogitBias(id=id_, bias=bias) for id_, bias in parameters.logit_bias],
        min_tokens=parameters.min_tokens,
        end_ids=parameters.end_ids,
        num_prompt_tokens=parameters.num_prompt_tokens,
        num_logprobs=parameters.num_logprobs,
        verification=verification_message(parameters.verification),
        structure=structure_message(parameters.structure) if parameters.structure is not None else None,
    )


def verification_message(verification: Verification | None) -> "sampling_pb2.Verification.ValueType":
    """Return a verification as its message; None leaves it to the reader."""
    return _VERIFICATIONS[verification]


def verification_from(message: int, if_unspecified: Verification) -> Verification:
    """Return the verification of a message; raises InvalidRequestError for one that this version does not know."""
    if message == sampling_pb2.VERIFICATION_UNSPECIFIED:
        return if_unspecified
    if message not in _OF_MESSAGE:
        raise InvalidRequestError(
            f"sampling.verification is {message}, which this version does not know; use SHARED_NOISE or REJECTION",
            field="sampling.verification",
            value=message,
        )
    return _OF_MESSAGE[message]


def structure_from(message: sampling_pb2.Structure) -> Structure:
    """Return the structure of a message; raises InvalidRequestError where no kind is set."""
    match message.WhichOneof("kind"):
        case "json_schema":
            return Structure(StructureKind.JSON_SCHEMA, message.json_schema)
        case "regex":
            return Structure(StructureKind.REGEX, message.regex)
        case "choice":
            return Structure(StructureKind.CHOICE, json.dumps(list(message.choice.texts), ensure_ascii=False))
        case "grammar":
            return Structure(StructureKind.GRAMMAR, message.grammar)
        case _:
            raise InvalidRequestError(
                "sampling.structure is set and has no kind; set json_schema, regex, choice or grammar",
                field="sampling.structure",
            )


def structure_message(structure: Structure) -> sampling_pb2.Structure:
    """Return a structure as its message."""
    match structure.kind:
        case StructureKind.JSON_SCHEMA:
            return sampling_pb2.Structure(json_schema=structure.text)
        case StructureKind.REGEX:
            return sampling_pb2.Structure(regex=structure.text)
        case StructureKind.CHOICE:
            return sampling_pb2.Structure(choice=sampling_pb2.ChoiceList(texts=json.loads(structure.text)))
        case StructureKind.GRAMMAR:
            return sampling_pb2.Structure(grammar=structure.text)


def logprobs_message(logprobs: TokenLogprobs) -> sampling_pb2.TokenLogprobs:
    """Return log-probabilities as their message."""
    return sampling_pb2.TokenLogprobs(
        id=logprobs.token_id,
        logprob=logprobs.logprob,
        top_ids=logprobs.top_ids,
        top_logprobs=logprobs.top_logprobs,
    )


def logprobs_from(message: sampling_pb2.TokenLogprobs) -> TokenLogprobs:
    """Return the log-probabilities of a message."""
    return TokenLogprobs(message.id, message.logprob, tuple(message.top_ids), tuple(message.top_logprobs))
