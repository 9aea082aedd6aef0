"""`paceline`: the command line."""

import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, ClassVar

import typer

from paceline.cli.deferred import DeferredGroup


class PacelineCommands(DeferredGroup):
    """All commands."""

    summaries: ClassVar[Mapping[str, str]] = {
        "demo": "See it work: real models, with and without speculation, the same text.",
        "up": "Run a cluster on this machine until Ctrl-C.",
        "generate": "Generate text, streamed as it comes.",
        "chat": "Talk with the model, turn by turn.",
        "sessions": "List, show and cancel sessions.",
        "top": "Watch both pools, the rounds and the sessions.",
        "log-level": "Show or set the log level of a running process.",
        "keys": "Draw API keys for tenants, and print their digests.",
        "bench": "Measure tokens per second, target-only beside speculative.",
        "evaluate": "Decide with numbers whether a draft pays, with which K, memory and cost.",
        "models": "List, pull and prepare models.",
        "distill": "Make a small draft for a target, from text that the target writes.",
    }


_STARTERS = frozenset({"bench", "demo", "evaluate", "up"})

app = typer.Typer(
    name="paceline",
    cls=PacelineCommands,
    no_args_is_help=True,
    rich_markup_mode=None,  # its help page takes longer to import than to read
    add_completion=False,
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"paceline {version('paceline')}")
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    is_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    is_debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a failure.", envvar="PACELINE_DEBUG")
    ] = False,
) -> None:
    """Serve a language model faster: a small draft model proposes, the target model decides every token."""
    # Else gRPC writes of connections that fail across what a command shows; it reads this once, when it is imported.
    # Services inherit it from the command that starts them, and its errors belong in their logs.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR" if context.invoked_subcommand in _STARTERS else "NONE")
