"""How a session wants its ids chosen, and what may be wished for."""

import math
from dataclasses import dataclass
from enum import StrEnum

from paceline.errors import InvalidRequestError

MAX_TEMPERATURE = 100.0
# A smaller divisor lets a float32 logit overflow.
MIN_REPETITION_PENALTY = 0.01
MAX_REPETITION_PENALTY = 100.0
MAX_PENALTY = 2.0
MAX_LOGIT_BIAS = 100.0
MAX_NUM_LOGIT_BIASES = 1024
MAX_NUM_LOGPROBS = 20
MAX_SEED = 2**64 - 1


class Verification(StrEnum):
    """How the target judges draft tokens."""

    SHARED_NOISE = (
        "shared_noise"  # draft and target choose with the same noise; the text never depends on the draft
    )
    REJECTION = "rejection"  # Leviathan/Chen: the distribution never depends on the draft, the text does


class StructureKind(StrEnum):
    """The language that a structure is written in."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    CHOICE = "choice"
    GRAMMAR = "grammar"


@dataclass(frozen=True)
class Structure:
    """What the text must match.

    Attributes:
        kind: The language of `text`.
        text: A JSON schema, a regular expression, a JSON array of strings (CHOICE), or a grammar.
    """

    kind: StructureKind
    text: str


@dataclass(frozen=True)
class SamplingParameters:
    """How ids are chosen; the defaults are plain greedy decoding.

    The processors run in this order, that of transformers: logit_bias, the penalties, min_tokens, structure,
    temperature, top_k, top_p, min_p.

    Attributes:
        temperature: Logits are divided by it; 0 is greedy decoding, the lowest id of equals. Nothing random is left
            then, so that `verification` makes no difference.
        seed: Names the noise, which greedy decoding does not use.
        top_k: Keeps the k most likely tokens; off where it is None.
        top_p: Keeps the smallest set of tokens whose mass reaches it; 1 is off.
        min_p: Keeps tokens at least this many times as likely as the most likely one; 0 is off.
        repetition_penalty: Divides positive and multiplies negative logits of tokens of prompt and output; 1 is off.
        presence_penalty: Subtracted from the logits of tokens of the output; 0 is off.
        frequency_penalty: Subtracted once for each time the token is in the output; 0 is off.
        logit_bias: (token id, what is added to its logit), no id twice.
        min_tokens: Output tokens before which none of `end_ids` may be chosen.
        end_ids: The ids that end the text: end of sequence, and stop ids.
        num_prompt_tokens: Ids before this position are the prompt, the others the output.
        num_logprobs: How many alternatives are reported beside the chosen id's own log-probability; neither where None.
        verification: How draft tokens are judged.
        structure: What the text must match; anything where it is None.
    """

    temperature: float = 0.0
    seed: int = 0
    top_k: int | None = None
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    min_tokens: int = 0
    end_ids: tuple[int, ...] = ()
    num_prompt_tokens: int = 0
    num_logprobs: int | None = None
    verification: Verification = Verification.SHARED_NOISE
    structure: Structure | None = None


def check_parameters(parameters: SamplingParameters, vocabulary_size: int) -> None:
    """Refuse what cannot be served; the ranges are those of vLLM and the OpenAI API.

    No two allowed values contradict each other: `verification` and `seed` make no difference to greedy decoding, and
    `min_tokens` gives way where a structure leaves nothing but the end.

    Raises InvalidRequestError with `field` ("sampling.top_p"), `value`, and `minimum` and `maximum` where it has them.
    """
    _check_range("temperature", parameters.temperature, 0.0, MAX_TEMPERATURE)
    _check_range("seed", parameters.seed, 0, MAX_SEED)
    if parameters.top_k is not None:
        _check_range("top_k", parameters.top_k, 1, None, hint="leave it out to keep all tokens")
    _check_range("top_p", parameters.top_p, 0.0, 1.0, is_open=True, hint="1 keeps all tokens")
    _check_range("min_p", parameters.min_p, 0.0, 1.0)
    _check_range(
        "repetition_penalty",
        parameters.repetition_penalty,
        MIN_REPETITION_PENALTY,
        MAX_REPETITION_PENALTY,
        hint="1 is no penalty",
    )
    _check_range("presence_penalty", parameters.presence_penalty, -MAX_PENALTY, MAX_PENALTY)
    _check_range("frequency_penalty", parameters.frequency_penalty, -MAX_PENALTY, MAX_PENALTY)
    _check_logit_bias(parameters.logit_bias, vocabulary_size)
    _check_range("min_tokens", parameters.min_tokens, 0, None)
    for end_id in parameters.end_ids:
        _check_id("end_ids", end_id, vocabulary_size)
    _check_range("num_prompt_tokens", parameters.num_prompt_tokens, 0, None)
    if parameters.num_logprobs is not None:
        _check_range("num_logprobs", parameters.num_logprobs, 0, MAX_NUM_LOGPROBS)
    if parameters.structure is not None and not parameters.structure.text:
        raise InvalidRequestError(
            f"sampling.structure is an empty {parameters.structure.kind}; leave it out to allow any text",
            field="sampling.structure",
            value="",
        )


def _check_logit_bias(logit_bias: tuple[tuple[int, float], ...], vocabulary_size: int) -> None:
    if len(logit_bias) > MAX_NUM_LOGIT_BIASES:
        raise InvalidRequestError(
            f"sampling.logit_bias has {len(logit_bias)} entries and may have at most {MAX_NUM_LOGIT_BIASES}",
            field="sampling.logit_bias",
            value=len(logit_bias),
            maximum=MAX_NUM_LOGIT_BIASES,
        )
    seen: set[int] = set()
    for token_id, bias in logit_bias:
        _check_id("logit_bias", token_id, vocabulary_size)
        _check_range("logit_bias", bias, -MAX_LOGIT_BIAS, MAX_LOGIT_BIAS)
        if token_id in seen:
            raise InvalidRequestError(
                f"sampling.logit_bias names token id {token_id} twice; give each id one bias",
                field="sampling.logit_bias",
                value=token_id,
            )
        seen.add(token_id)


def _check_id(name: str, token_id: int, vocabulary_size: int) -> None:
    if not 0 <= token_id < vocabulary_size:
        raise InvalidRequestError(
            f"sampling.{name} has token id {token_id}, which is not in the vocabulary of {vocabulary_size} ids; "
            "encode with the tokenizer of the served model",
            field=f"sampling.{name}",
            value=token_id,
            minimum=0,
            maximum=vocabulary_size - 1,
        )


def _check_range(
    name: str, value: float, minimum: float, maximum: float | None, *, is_open: bool = False, hint: str = ""
) -> None:
    """Refuse a value below `minimum` (or equal to it where `is_open`), above `maximum`, or not finite."""
    is_inside = value > minimum if is_open else value >= minimum
    if math.isfinite(value) and is_inside and (maximum is None or value <= maximum):
        return
    least = f"above {minimum:g}" if is_open else f"at least {minimum:g}"
    most = "" if maximum is None else f" and at most {maximum:g}"
    limits = {"minimum": minimum} if maximum is None else {"minimum": minimum, "maximum": maximum}
    raise InvalidRequestError(
        f"sampling.{name} is {value} and must be {least}{most}{f'; {hint}' if hint else ''}",
        field=f"sampling.{name}",
        value=value,
        **limits,
    )
