"""`paceline generate`: text from a running cluster, streamed."""

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import typer

from paceline.cli.generation_view import GenerationView, JsonView, TextView
from paceline.cli.prompt_source import make_prompt, read_prompt
from paceline.cli.status_row import StatusRow
from paceline.cli.token_painter import Marking, has_colour
from paceline.client.generation import GenerationRequest, Speculation, SpeculationMode
from paceline.client.orchestrator import connect
from paceline.errors import ConfigError
from paceline.local.cluster_record import find_cluster

app = typer.Typer(add_completion=False)


@app.command()
def generate(
    prompt: Annotated[str | None, typer.Argument(help="The prompt; - reads it from stdin.")] = None,
    path: Annotated[
        Path | None, typer.Option("--file", help="Read the prompt from a file.", dir_okay=False)
    ] = None,
    is_chat: Annotated[
        bool,
        typer.Option(
            "--chat/--raw", help="Ask the model in its chat format, or go on from the text as it stands."
        ),
    ] = True,
    system: Annotated[str | None, typer.Option(help="System message of the chat.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Most tokens to generate.  [default: 256]", show_default=False)
    ] = None,
    num_draft_tokens: Annotated[
        int | None, typer.Option(min=1, help="Draft tokens a round; the cluster decides if not given.")
    ] = None,
    has_speculation: Annotated[
        bool,
        typer.Option("--speculation/--no-speculation", help="Let a draft propose; the text stays the same."),
    ] = True,
    shows_drafts: Annotated[
        bool, typer.Option("--show-drafts", help="Show on a terminal in green what the draft proposed.")
    ] = False,
    has_brackets: Annotated[
        bool, typer.Option("--brackets", help="With --show-drafts, mark with ⟦ ⟧ instead of colour.")
    ] = False,
    has_statistics: Annotated[
        bool,
        typer.Option("--stats/--no-stats", help="Statistics on stderr: live on a terminal, and at the end."),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the events as lines of JSON.")] = False,
    address: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of an orchestrator; the cluster of `paceline up` if not given.",
            envvar="PACELINE_ADDRESS",
        ),
    ] = None,
    ignores_eos: Annotated[
        bool, typer.Option("--ignore-eos", help="Go on to --max-tokens, whatever the model says.")
    ] = False,
) -> None:
    """Generate text from a prompt, streamed to stdout; statistics go to stderr."""
    request = GenerationRequest(
        make_prompt(read_prompt(prompt, path), system, is_chat=is_chat),
        max_tokens=max_tokens,
        speculation=_speculation(num_draft_tokens, is_wanted=has_speculation),
        ignore_eos=ignores_eos,
    )
    address = address or find_cluster().address
    if as_json:
        asyncio.run(_stream(address, request, JsonView()))
        return
    marking = _marking(has_brackets=has_brackets) if shows_drafts else Marking.NONE
    with StatusRow(is_shown=has_statistics and sys.stderr.isatty()) as row:
        asyncio.run(_stream(address, request, TextView(marking, row, has_statistics=has_statistics)))


async def _stream(address: str, request: GenerationRequest, view: GenerationView) -> None:
    async with connect(address) as orchestrator, aclosing(orchestrator.generate(request)) as events:
        async for event in events:
            view.show(event)


def _speculation(num_draft_tokens: int | None, *, is_wanted: bool) -> Speculation:
    if not is_wanted:
        if num_draft_tokens is not None:
            raise ConfigError(
                "--num-draft-tokens needs speculation: leave out --no-speculation", setting="num_draft_tokens"
            )
        return Speculation(SpeculationMode.OFF)
    if num_draft_tokens is None:
        return Speculation()
    return Speculation(SpeculationMode.FIXED, num_draft_tokens)


def _marking(*, has_brackets: bool) -> Marking:
    if has_brackets:
        return Marking.BRACKETS
    return Marking.COLOUR if has_colour(sys.stdout) else Marking.NONE
