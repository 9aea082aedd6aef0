"""The options of `generate` that say how ids are chosen, when to stop, and what the text must match."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from paceline.errors import ConfigError
from paceline.sampling.parameters import MAX_SEED, Structure, StructureKind, Verification

SAMPLING, STOPPING, STRUCTURE = "Sampling", "Stopping", "Structured output"
# What the wire holds; the orchestrator says what it takes.
MAX_UINT32 = 2**32 - 1

Temperature: TypeAlias = Annotated[
    float, typer.Option(help="0 is greedy: the most likely token each time.", rich_help_panel=SAMPLING)
]
Seed: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=MAX_SEED,
        help="Repeats a generation; drawn and shown if not given.",
        rich_help_panel=SAMPLING,
    ),
]
TopK: TypeAlias = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_UINT32, help="Keep the k most likely tokens.", rich_help_panel=SAMPLING),
]
TopP: TypeAlias = Annotated[
    float, typer.Option(help="Keep the smallest set of tokens of this mass.", rich_help_panel=SAMPLING)
]
MinP: TypeAlias = Annotated[
    float,
    typer.Option(help="Keep tokens this many times as likely as the likeliest.", rich_help_panel=SAMPLING),
]
RepetitionPenalty: TypeAlias = Annotated[
    float, typer.Option(help="Above 1: against tokens of prompt and output.", rich_help_panel=SAMPLING)
]
PresencePenalty: TypeAlias = Annotated[
    float, typer.Option(help="Against tokens that the output has, -2 to 2.", rich_help_panel=SAMPLING)
]
FrequencyPenalty: TypeAlias = Annotated[
    float, typer.Option(help="The same for each time it has them, -2 to 2.", rich_help_panel=SAMPLING)
]
LogitBias: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ID=BIAS", help="Added to a token's logit; may be repeated.", rich_help_panel=SAMPLING
    ),
]
Logprobs: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=MAX_UINT32,
        help="With --json: log-probabilities and N alternatives.",
        rich_help_panel=SAMPLING,
    ),
]
Judging: TypeAlias = Annotated[
    Verification | None,
    typer.Option(
        "--verification",
        help="How draft tokens are judged; the cluster decides if not given.",
        rich_help_panel=SAMPLING,
    ),
]
StopTexts: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--stop", help="End before this text; may be repeated.", rich_help_panel=STOPPING),
]
StopIds: TypeAlias = Annotated[
    list[int] | None,
    typer.Option(
        "--stop-id",
        min=0,
        max=MAX_UINT32,
        help="End after this id; may be repeated.",
        rich_help_panel=STOPPING,
    ),
]
MinTokens: TypeAlias = Annotated[
    int,
    typer.Option(
        min=0, max=MAX_UINT32, help="Tokens before which the text may not end.", rich_help_panel=STOPPING
    ),
]
JsonSchema: TypeAlias = Annotated[
    Path | None, typer.Option(help="File with a JSON schema.", dir_okay=False, rich_help_panel=STRUCTURE)
]
Regex: TypeAlias = Annotated[
    str | None, typer.Option(help="A regular expression for the whole text.", rich_help_panel=STRUCTURE)
]
ChoiceTexts: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--choice", help="One of these texts; repeat it for each.", rich_help_panel=STRUCTURE),
]
Grammar: TypeAlias = Annotated[
    Path | None, typer.Option(help="File with a Lark grammar.", dir_okay=False, rich_help_panel=STRUCTURE)
]


def parse_logit_bias(texts: Sequence[str]) -> dict[int, float]:
    """Return the biases of ID=BIAS texts; raises ConfigError."""
    biases: dict[int, float] = {}
    for text in texts:
        token_id, _, bias = text.partition("=")
        try:
            biases[int(token_id)] = float(bias)
        except ValueError:
            message = f"--logit-bias is {text!r} and must be ID=BIAS, for example 1234=-5"
            raise ConfigError(message, setting="logit_bias") from None
    if not all(0 <= token_id <= MAX_UINT32 for token_id in biases):
        raise ConfigError("--logit-bias names an id that no vocabulary has", setting="logit_bias")
    return biases


def choose_structure(
    json_schema: Path | None, regex: str | None, choices: Sequence[str], grammar: Path | None
) -> Structure | None:
    """Return the one structure that was asked for; raises ConfigError for several, or for a file that is not there."""
    wishes = [
        Structure(kind, text)
        for kind, text in (
            (StructureKind.JSON_SCHEMA, _read(json_schema)),
            (StructureKind.REGEX, regex),
            (StructureKind.CHOICE, json.dumps(list(choices)) if choices else None),
            (StructureKind.GRAMMAR, _read(grammar)),
        )
        if text is not None
    ]
    if len(wishes) > 1:
        message = "give only one of --json-schema, --regex, --choice and --grammar"
        raise ConfigError(message, setting="structure")
    return wishes[0] if wishes else None


def _read(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", setting="structure") from error
