"""The options of a generation as keyword arguments, and the request that they come to."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from paceline.client.generation import (
    Continuation,
    GenerationRequest,
    Prompt,
    Sampling,
    Speculation,
    SpeculationMode,
    StopConditions,
)
from paceline.errors import InvalidRequestError
from paceline.sampling.parameters import Structure, StructureKind, Verification


class Options(TypedDict, total=False):
    """How to generate; what is left out is as the cluster has it. Ranges: docs/sampling.md.

    An answer that goes on (`reply`, `rewind`, `fork`, `continue_`) keeps the options that it began with, except those
    that are given anew.

    Attributes:
        max_tokens: Most tokens to generate; 256 if left out.
        temperature: 0, the default, takes the most likely token each time.
        seed: Repeats a generation; one is drawn if left out, and `Answer.seed` has it.
        top_k: Keep the k most likely tokens.
        top_p: Keep the smallest set of tokens of this mass.
        min_p: Keep tokens this many times as likely as the likeliest.
        repetition_penalty: Above 1, against tokens of prompt and output.
        presence_penalty: Against tokens that the output has.
        frequency_penalty: The same for each time that it has them.
        logit_bias: What is added to the logits of token ids.
        min_tokens: Tokens before which the text may not end.
        num_logprobs: Report log-probabilities, and so many alternatives of each token.
        stop: A text, or several, before which to end.
        stop_ids: Token ids after which to end.
        include_stop_text: Send the text that ended it too.
        ignore_eos: Go on to `max_tokens`, whatever the model says.
        json_schema: The text is JSON that matches this schema. At most one of this and the next three.
        regex: The text matches this regular expression as a whole.
        choices: The text is one of these.
        grammar: The text matches this Lark grammar.
        speculation: How to speculate; False lets the target decode alone. It never changes the text.
        verification: How draft tokens are judged.
        model: The model that must be served; any if left out.
        timeout_seconds: Seconds for the whole call, retries included, after which it fails with DeadlineExceededError.
    """

    max_tokens: int
    temperature: float
    seed: int
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    logit_bias: Mapping[int, float]
    min_tokens: int
    num_logprobs: int
    stop: str | Sequence[str]
    stop_ids: Sequence[int]
    include_stop_text: bool
    ignore_eos: bool
    json_schema: Mapping[str, Any] | str
    regex: str
    choices: Sequence[str]
    grammar: str
    speculation: Speculation | bool
    verification: Verification
    model: str
    timeout_seconds: float


_SAMPLING = (
    "temperature", "seed", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
    "logit_bias", "min_tokens", "num_logprobs", "verification",
)  # fmt: skip
_STRUCTURES = {kind.value if kind is not StructureKind.CHOICE else "choices": kind for kind in StructureKind}
_STOP = ("stop", "stop_ids", "include_stop_text")


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse what is no option; raises TypeError as a call with a wrong keyword does, and InvalidRequestError."""
    if unknown := sorted(options.keys() - Options.__annotations__.keys()):
        raise TypeError(f"there is no option {unknown[0]!r}")
    if len(given := [name for name in _STRUCTURES if name in options]) > 1:
        raise InvalidRequestError(f"give only one of {' and '.join(given)}", field="sampling.structure")


def merged(before: Options, given: Options) -> Options:
    """Return the options of before with those that are given; a new structure takes the place of the old one."""
    kept = dict(before)
    if any(name in given for name in _STRUCTURES):
        kept = {name: value for name, value in kept.items() if name not in _STRUCTURES}
    return Options(**{**kept, **given})  # pyright: ignore[reportArgumentType]


def without_limit(options: Options) -> Options:
    """Return the options but `max_tokens`."""
    others = {name: value for name, value in options.items() if name != "max_tokens"}
    return Options(**others)  # pyright: ignore[reportArgumentType]


def request_of(
    prompt: Prompt | None,
    options: Options,
    continuation: Continuation | None = None,
    *,
    is_whole: bool = False,
) -> GenerationRequest:
    """Return the request that options come to.

    `is_whole` sends sampling and stop conditions even where they are the defaults, so that nothing stays as a continued
    session has it; the seed must be among the options then. Raises TypeError and InvalidRequestError.
    """
    check_options(options)
    speculation = options.get("speculation", Speculation())
    if isinstance(speculation, bool):
        speculation = Speculation() if speculation else Speculation(SpeculationMode.OFF)
    return GenerationRequest(
        prompt,
        max_tokens=options.get("max_tokens"),
        speculation=speculation,
        ignore_eos=options.get("ignore_eos", False),
        model=options.get("model"),
        sampling=_sampling(options),
        stop=_stop(options, is_whole=is_whole),
        continuation=continuation,
    )


def _sampling(options: Options) -> Sampling:
    wanted: dict[str, Any] = {name: value for name, value in options.items() if name in _SAMPLING}
    return Sampling(**wanted, structure=_structure(options))


def _structure(options: Options) -> Structure | None:
    for name, kind in _STRUCTURES.items():
        wish = options.get(name)
        if wish is not None:
            return Structure(kind, wish if isinstance(wish, str) else json.dumps(wish, ensure_ascii=False))
    return None


def _stop(options: Options, *, is_whole: bool) -> StopConditions:
    texts = options.get("stop", ())
    stop = StopConditions(
        (texts,) if isinstance(texts, str) else tuple(texts),
        tuple(options.get("stop_ids", ())),
        options.get("include_stop_text", False),
    )
    if is_whole and stop == StopConditions():
        # The same, and yet not the default, which is not sent and would leave the session's own in force.
        return StopConditions(include_text=True)
    return stop
