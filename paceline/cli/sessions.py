"""`paceline sessions`: who is being served, by whom, and ending it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.table import Column, Table

from paceline.cli.connection_options import with_connection_options
from paceline.cli.failure import failures_explained
from paceline.client.connection import ConnectionSettings, handshakes_explained
from paceline.client.sessions import SessionInfo, Sessions, SessionStatus, connect_to_sessions
from paceline.local.cluster_record import find_cluster

T = TypeVar("T")

# Where nobody's window is the limit, for example in a pipe, lines stay whole.
_WIDTH_OF_A_FILE = 200

app = typer.Typer(no_args_is_help=True, help="Sessions: who is being served, by whom, and ending it.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]
At = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="HOST:PORT of an orchestrator; the cluster of `paceline up` if not given.",
        envvar="PACELINE_ADDRESS",
    ),
]
SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="The session, as `list` shows it.")]


@app.command("list")
@with_connection_options
def list_sessions(
    *,
    status: Annotated[SessionStatus | None, typer.Option(help="Only sessions of this status.")] = None,
    max_sessions: Annotated[
        int, typer.Option("--max-sessions", "-n", min=1, max=10_000, help="Most sessions to show.")
    ] = 100,
    as_json: AsJson = False,
    address: At = None,
    connection: ConnectionSettings,
) -> None:
    """List sessions, the latest change first."""
    listing = _ask(address, connection, lambda sessions: sessions.list(status, max_sessions))
    if as_json:
        print(json.dumps(asdict(listing), indent=2))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH_OF_A_FILE)
    console.print(_table(listing.sessions))
    num_shown = len(listing.sessions)
    if num_shown < listing.num_found:
        console.print(f"{num_shown} of {listing.num_found}; --max-sessions shows more", style="dim")


@app.command("show")
@with_connection_options
def show_session(
    session_id: SessionId,
    *,
    as_json: AsJson = False,
    address: At = None,
    connection: ConnectionSettings,
) -> None:
    """Show all that is known of a session; its text is not."""
    _show(_ask(address, connection, lambda sessions: sessions.get(session_id)), as_json=as_json)


@app.command("cancel")
@with_connection_options
def cancel_session(
    session_id: SessionId,
    *,
    as_json: AsJson = False,
    address: At = None,
    connection: ConnectionSettings,
) -> None:
    """End a session: its client gets CANCELLED, its caches are freed, and nothing continues it."""
    _show(_ask(address, connection, lambda sessions: sessions.cancel(session_id)), as_json=as_json)


def _ask(
    address: str | None, connection: ConnectionSettings, question: Callable[[Sessions], Awaitable[T]]
) -> T:
    async def ask() -> T:
        place = address or find_cluster().address
        async with handshakes_explained(connection), connect_to_sessions(place, connection) as sessions:
            return await question(sessions)

    with failures_explained():
        return asyncio.run(ask())


def _table(sessions: Sequence[SessionInfo]) -> Table:
    table = Table(
        Column("session", min_width=32, no_wrap=True),
        Column("status", no_wrap=True),
        "tenant",
        Column("tokens", justify="right", no_wrap=True),
        "target",
        "draft",
        Column("idle", justify="right", no_wrap=True),
        Column("lease", justify="right", no_wrap=True),
        box=None,
        pad_edge=False,
    )
    for one in sessions:
        table.add_row(
            one.session_id,
            one.status,
            one.tenant or "-",
            f"{one.num_prompt_tokens} + {one.position - one.num_prompt_tokens}",
            one.target,
            one.draft or "-",
            f"{one.idle_seconds:.0f} s",
            _lease(one),
        )
    return table


def _lease(session: SessionInfo) -> str:
    if session.lease_seconds is None:
        return "-"
    return f"{session.lease_seconds:.0f} s" if session.lease_seconds >= 0 else "run out"


def _show(session: SessionInfo, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(session), indent=2))
        return
    for name, value in asdict(session).items():
        print(f"{name.replace('_', ' '):<18} {'-' if value in (None, '') else value}")
