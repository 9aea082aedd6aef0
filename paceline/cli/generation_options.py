"""The options that say how to generate: the same for `generate` and `chat`."""

import json
from typing import Annotated, Any

import typer

from paceline.cli import sampling_options as options
from paceline.cli.option_group import with_options
from paceline.client.generation import Drafter, Speculation, SpeculationMode
from paceline.client.options import Options
from paceline.errors import ConfigError
from paceline.sampling.parameters import Structure, StructureKind


def generation_options(
    *,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1, max=options.MAX_UINT32, help="Most tokens to generate.  [default: 256]", show_default=False
        ),
    ] = None,
    num_draft_tokens: Annotated[
        int | None,
        typer.Option(
            min=1, max=options.MAX_UINT32, help="Draft tokens a round; the cluster decides if not given."
        ),
    ] = None,
    has_speculation: Annotated[
        bool,
        typer.Option("--speculation/--no-speculation", help="Let a draft propose; the text stays the same."),
    ] = True,
    is_adaptive: Annotated[
        bool, typer.Option("--adaptive", help="As many draft tokens each round as pay, at most that many.")
    ] = False,
    drafter: Annotated[
        Drafter | None, typer.Option(help="Where draft tokens come from; the cluster decides if not given.")
    ] = None,
    temperature: options.Temperature = 0.0,
    seed: options.Seed = None,
    top_k: options.TopK = None,
    top_p: options.TopP = 1.0,
    min_p: options.MinP = 0.0,
    repetition_penalty: options.RepetitionPenalty = 1.0,
    presence_penalty: options.PresencePenalty = 0.0,
    frequency_penalty: options.FrequencyPenalty = 0.0,
    logit_bias: options.LogitBias = None,
    num_logprobs: options.Logprobs = None,
    verification: options.Judging = None,
    stop_texts: options.StopTexts = None,
    stop_ids: options.StopIds = None,
    min_tokens: options.MinTokens = 0,
    json_schema: options.JsonSchema = None,
    regex: options.Regex = None,
    choice: options.ChoiceTexts = None,
    grammar: options.Grammar = None,
    ignores_eos: Annotated[
        bool, typer.Option("--ignore-eos", help="Go on to --max-tokens, whatever the model says.")
    ] = False,
) -> Options:
    """Return what the options stand for; raises ConfigError where they contradict each other."""
    speculation = _speculation(num_draft_tokens, drafter, is_wanted=has_speculation, is_adaptive=is_adaptive)
    wishes: dict[str, Any] = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "seed": seed,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "presence_penalty": presence_penalty,
        "frequency_penalty": frequency_penalty,
        "logit_bias": options.parse_logit_bias(logit_bias or ()),
        "min_tokens": min_tokens,
        "num_logprobs": num_logprobs,
        "verification": verification,
        "stop": tuple(stop_texts or ()),
        "stop_ids": tuple(stop_ids or ()),
        "ignore_eos": ignores_eos,
        "speculation": speculation,
        **_structure(options.choose_structure(json_schema, regex, choice or (), grammar)),
    }
    return Options(**{name: value for name, value in wishes.items() if value is not None})


# Gives a command these options; they reach it as one argument, `generation`.
with_generation_options = with_options(generation_options, "generation")


def _speculation(
    num_draft_tokens: int | None, drafter: Drafter | None, *, is_wanted: bool, is_adaptive: bool
) -> Speculation:
    if not is_wanted:
        if num_draft_tokens is not None or drafter is not None or is_adaptive:
            raise ConfigError(
                "--num-draft-tokens, --drafter and --adaptive need speculation: leave out --no-speculation",
                setting="speculation",
            )
        return Speculation(SpeculationMode.OFF)
    if is_adaptive:
        return Speculation(SpeculationMode.ADAPTIVE, num_draft_tokens, drafter)
    if num_draft_tokens is None:
        return Speculation(drafter=drafter)
    return Speculation(SpeculationMode.FIXED, num_draft_tokens, drafter)


def _structure(structure: Structure | None) -> dict[str, Any]:
    if structure is None:
        return {}
    if structure.kind is StructureKind.CHOICE:
        return {"choices": json.loads(structure.text)}
    return {structure.kind.value: structure.text}
