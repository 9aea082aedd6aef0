"""`paceline log-level`: what a running process logs."""

import asyncio
from typing import Annotated

import typer

from paceline.cli.connection_options import with_connection_options
from paceline.client.connection import ConnectionSettings, handshakes_explained
from paceline.client.log_level import LogLevel, connect_to_logs

app = typer.Typer(add_completion=False)


@app.command()
@with_connection_options
def log_level(
    address: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS", help="HOST:PORT of an orchestrator, a draft service or a target service."
        ),
    ],
    level: Annotated[
        LogLevel | None, typer.Argument(help="Least severity to log from now on.", show_default=False)
    ] = None,
    *,
    connection: ConnectionSettings,
) -> None:
    """Print the least severity that a process logs, or set it until the process ends."""
    if level is None:
        print(asyncio.run(_level(address, connection)))
    else:
        print(f"{level} (it was {asyncio.run(_set_level(address, connection, level))})")


async def _level(address: str, connection: ConnectionSettings) -> LogLevel:
    async with handshakes_explained(connection), connect_to_logs(address, connection) as logs:
        return await logs.level()


async def _set_level(address: str, connection: ConnectionSettings, level: LogLevel) -> LogLevel:
    async with handshakes_explained(connection), connect_to_logs(address, connection) as logs:
        return await logs.set_level(level)
