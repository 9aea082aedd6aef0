"""`paceline generate`: text from a running cluster, streamed."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from paceline.cli.connection_options import Orchestrators, with_connection_options
from paceline.cli.generation_options import with_generation_options
from paceline.cli.generation_view import GenerationView, JsonView, TextView, describe_summary
from paceline.cli.prompt_source import continuation_of, make_prompt, read_prompt
from paceline.cli.status_row import StatusRow
from paceline.cli.token_painter import Marking, TokenPainter, marking_of
from paceline.cli.tracing import tracing
from paceline.client.connection import ConnectionSettings, handshakes_explained
from paceline.client.destination import Destination
from paceline.client.generation import Continuation, GenerationRequest, Prompt
from paceline.client.options import Options, request_of
from paceline.client.resuming import ResumingOrchestrator, RetrySettings, connect_to_all
from paceline.local.cluster_record import find_cluster

app = typer.Typer(add_completion=False)


@app.command()
@with_generation_options
@with_connection_options
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
    num_choices: Annotated[
        int,
        typer.Option(
            "--num-choices", "-n", min=1, max=1024, help="Answers to the one prompt, each with its own seed."
        ),
    ] = 1,
    echo: Annotated[bool, typer.Option("--echo", help="Print the prompt first.")] = False,
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
    resume: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", help="Go on with a broken stream: send what follows a rollback token."),
    ] = None,
    rewind: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN", help="Generate anew from a rollback token on, behind the prompt if there is one."
        ),
    ] = None,
    fork: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="As --rewind, in a new session that shares the cache.")
    ] = None,
    address: Orchestrators = None,
    *,
    generation: Options,
    connection: ConnectionSettings,
) -> None:
    """Generate text from a prompt, streamed to stdout; statistics go to stderr."""
    continuation = continuation_of(resume, rewind, fork)
    asked = _prompt(prompt, path, system, continuation, is_chat=is_chat)
    request = replace(request_of(asked, generation, continuation), num_choices=num_choices, echo=echo)
    cluster = Destination.of(address or find_cluster().address, connection)
    marking = marking_of(has_brackets=has_brackets) if shows_drafts else Marking.NONE
    is_sampled = generation.get("temperature", 0.0) > 0
    with tracing("generate"):
        if as_json:
            asyncio.run(_stream(cluster, request, JsonView()))
        elif num_choices > 1:
            asyncio.run(_print_choices(cluster, request, marking, has_statistics=has_statistics))
        else:
            with StatusRow(is_shown=has_statistics and sys.stderr.isatty()) as row:
                view = TextView(marking, row, has_statistics=has_statistics, is_sampled=is_sampled)
                asyncio.run(_stream(cluster, request, view))


def _prompt(
    text: str | None,
    path: Path | None,
    system: str | None,
    continuation: Continuation | None,
    *,
    is_chat: bool,
) -> Prompt | None:
    if continuation is None:
        return make_prompt(read_prompt(text, path), system, is_chat=is_chat)
    if text is None and path is None:
        return None
    return make_prompt(read_prompt(text, path), system, is_chat=False)  # it goes on where the session is


@asynccontextmanager
async def _connected(cluster: Destination) -> AsyncIterator[ResumingOrchestrator]:
    # Nobody waits at a terminal for a cluster that is not there.
    retry = RetrySettings(give_up_at_first_seconds=0.0)
    async with (
        handshakes_explained(cluster.connection),
        connect_to_all(cluster.addresses, retry, cluster.connection) as orchestrator,
    ):
        yield orchestrator


async def _stream(cluster: Destination, request: GenerationRequest, view: GenerationView) -> None:
    async with _connected(cluster) as orchestrator, aclosing(orchestrator.generate(request)) as events:
        async for event in events:
            view.show(event)


async def _print_choices(
    cluster: Destination, request: GenerationRequest, marking: Marking, *, has_statistics: bool
) -> None:
    """Print one answer after the other, since they come all at once."""
    async with _connected(cluster) as orchestrator:
        completions = await orchestrator.complete_choices(request)
    painter = TokenPainter(marking, is_terminal=sys.stdout.isatty())
    for number, completion in enumerate(completions, start=1):
        print(f"--- {number} of {len(completions)}, seed {completion.started.seed}")
        print(painter.paint(completion.tokens))
        if has_statistics:
            print(f"{describe_summary(completion.summary)}", file=sys.stderr)
