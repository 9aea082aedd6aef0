"""`paceline chat`: a conversation at the terminal, or through a pipe."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import platformdirs
import typer

from paceline.cli.connection_options import Orchestrators, with_connection_options
from paceline.cli.dialogue import transcript_file
from paceline.cli.dialogue.branches import Branches
from paceline.cli.dialogue.line_source import LineSource, PipedLines
from paceline.cli.dialogue.talk import Talk
from paceline.cli.dialogue.views import DialogueView, JsonDialogueView, TextDialogueView
from paceline.cli.generation_options import with_generation_options
from paceline.cli.token_painter import Marking, marking_of
from paceline.cli.tracing import tracing
from paceline.client.async_client import AsyncClient
from paceline.client.connection import ConnectionSettings
from paceline.client.destination import Destination
from paceline.client.options import Options
from paceline.client.retry import RetrySettings
from paceline.client.served_model import ServedModels
from paceline.local.cluster_record import find_cluster

# How long somebody at a terminal waits for an orchestrator to come back.
_PATIENCE_SECONDS = 30.0

app = typer.Typer(add_completion=False)


@app.command()
@with_generation_options
@with_connection_options
def chat(
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    load: Annotated[
        Path | None, typer.Option(help="Go on with a conversation that /save wrote.", dir_okay=False)
    ] = None,
    shows_drafts: Annotated[
        bool,
        typer.Option(
            "--show-drafts/--no-show-drafts", help="Show on a terminal in green what the draft proposed."
        ),
    ] = True,
    has_brackets: Annotated[
        bool, typer.Option("--brackets", help="Mark it with ⟦ ⟧ instead of colour, also without a terminal.")
    ] = False,
    has_statistics: Annotated[
        bool, typer.Option("--stats/--no-stats", help="Statistics of each answer on stderr.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as lines of JSON.")] = False,
    history_file: Annotated[
        Path | None,
        typer.Option(
            help="Where what you type is kept for later runs.  [default: in the user's state directory]",
            envvar="PACELINE_CHAT_HISTORY",
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    has_history: Annotated[
        bool, typer.Option("--history/--no-history", help="Keep what you type for later runs.")
    ] = True,
    address: Orchestrators = None,
    *,
    generation: Options,
    connection: ConnectionSettings,
) -> None:
    """Talk with the model; /help in it lists commands. Each line that is piped in is a message or a command."""
    destination = Destination.of(address or find_cluster().address, connection)
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    lines = _terminal_lines(history_file, is_kept=has_history) if is_terminal else PipedLines()
    marking = marking_of(has_brackets=has_brackets) if shows_drafts or has_brackets else Marking.NONE
    view = JsonDialogueView() if as_json else TextDialogueView(marking, has_statistics=has_statistics)
    transcript = None if load is None else transcript_file.load(load)
    with tracing("chat"):
        asyncio.run(_talk(destination, generation, system, transcript, lines, view))


async def _talk(
    destination: Destination,
    options: Options,
    system: str | None,
    transcript: transcript_file.Transcript | None,
    lines: LineSource,
    view: DialogueView,
) -> None:
    view.greet(await _served_models(destination))
    retry = RetrySettings(give_up_seconds=_PATIENCE_SECONDS, give_up_at_first_seconds=_PATIENCE_SECONDS)
    async with AsyncClient(destination, retry=retry) as client:
        branches = Branches(client, options, system)
        if transcript is not None:
            branches.load(system or transcript.system, transcript.turns, transcript.rollback_token)
        # Lines that are piped in were written for the answers before them.
        await Talk(branches, lines, view).run(goes_on_after_failures=not isinstance(lines, PipedLines))


async def _served_models(destination: Destination) -> ServedModels:
    # Nobody waits at a terminal for a cluster that is not there.
    async with AsyncClient(destination, retry=RetrySettings(give_up_at_first_seconds=0.0)) as client:
        return await client.models()


def _terminal_lines(history_file: Path | None, *, is_kept: bool) -> LineSource:
    # Only here: nobody else pays for the import of a line editor.
    from paceline.cli.dialogue.terminal_lines import TerminalLines  # noqa: PLC0415

    path = history_file or platformdirs.user_state_path("paceline") / "chat-history"
    return TerminalLines(path if is_kept else None)
