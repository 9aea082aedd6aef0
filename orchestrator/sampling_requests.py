"""How a request wants its ids chosen, checked field by field."""

import secrets
from collections.abc import Iterable

from orchestrator.config import OrchestratorConfig
from paceline.errors import InvalidRequestError
from paceline.sampling.parameters import MAX_SEED, SamplingParameters, Verification, check_parameters
from paceline.serving.sampling_messages import structure_from, verification_from
from paceline.v1 import orchestrator_service_pb2 as messages

MAX_STOP_TEXTS = 16
MAX_STOP_TEXT_BYTES = 256
MAX_STOP_IDS = 64


def sampling_of(
    message: messages.GenerationSampling,
    end_ids: Iterable[int],
    config: OrchestratorConfig,
    vocabulary_size: int,
) -> SamplingParameters:
    """Return the parameters of a request; a seed is drawn where none is given.

    The length of the prompt is not known yet. Raises InvalidRequestError with the field.
    """
    parameters = SamplingParameters(
        temperature=message.temperature,
        seed=message.seed if message.HasField("seed") else secrets.randbelow(MAX_SEED + 1),
        top_k=message.top_k if message.HasField("top_k") else None,
        top_p=message.top_p if message.HasField("top_p") else 1.0,
        min_p=message.min_p,
        repetition_penalty=message.repetition_penalty if message.HasField("repetition_penalty") else 1.0,
        presence_penalty=message.presence_penalty,
        frequency_penalty=message.frequency_penalty,
        logit_bias=tuple(sorted(message.logit_bias.items())),
        min_tokens=message.min_tokens,
        end_ids=tuple(sorted(end_ids)),
        num_logprobs=message.num_logprobs if message.HasField("num_logprobs") else None,
        verification=verification_from(message.verification, Verification(config.verification)),
        structure=structure_from(message.structure) if message.HasField("structure") else None,
    )
    check_parameters(parameters, vocabulary_size)
    return parameters


def check_stop(stop: messages.StopConditions, vocabulary_size: int) -> None:
    """Refuse stop conditions that are out of range; raises InvalidRequestError with the field."""
    for field, values, maximum in (("texts", stop.texts, MAX_STOP_TEXTS), ("ids", stop.ids, MAX_STOP_IDS)):
        if len(values) > maximum:
            message = f"stop.{field} has {len(values)} entries and may have at most {maximum}"
            raise InvalidRequestError(message, field=f"stop.{field}", value=len(values), maximum=maximum)
    for text in stop.texts:
        if not 1 <= len(text.encode()) <= MAX_STOP_TEXT_BYTES:
            message = f"a stop text has {len(text.encode())} bytes and must have 1 to {MAX_STOP_TEXT_BYTES}"
            raise InvalidRequestError(
                message, field="stop.texts", value=len(text.encode()), minimum=1, maximum=MAX_STOP_TEXT_BYTES
            )
    for token_id in stop.ids:
        if token_id >= vocabulary_size:
            message = f"the stop id {token_id} is not in the vocabulary of {vocabulary_size} ids"
            raise InvalidRequestError(
                message, field="stop.ids", value=token_id, minimum=0, maximum=vocabulary_size - 1
            )
