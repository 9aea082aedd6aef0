"""`paceline top`: both pools, the rounds and the sessions, live."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from paceline.cli.connection_options import with_connection_options
from paceline.cli.failure import FAILURE_EXIT_CODE
from paceline.cli.monitor.frame import frame
from paceline.cli.monitor.history import History
from paceline.cli.monitor.keyboard import keys_read
from paceline.cli.monitor.poll import connect_to_orchestrators
from paceline.cli.monitor.report import report
from paceline.cli.monitor.view import View, view_of
from paceline.client.connection import ConnectionSettings
from paceline.errors import ConfigError
from paceline.local.cluster_record import find_cluster

_QUIT_KEYS = {"q", "Q"}

app = typer.Typer(add_completion=False)


@app.command()
@with_connection_options
def top(
    *,
    address: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of orchestrators, with commas between them. The cluster of `paceline up` if not given.",
            envvar="PACELINE_ADDRESS",
        ),
    ] = None,
    interval_seconds: Annotated[
        float, typer.Option("--interval", min=0.2, max=60.0, help="Seconds between two looks.")
    ] = 1.0,
    is_once: Annotated[
        bool, typer.Option("--once", help="Look twice, one interval apart, print what there is, and end.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each look.")] = False,
    connection: ConnectionSettings,
) -> None:
    """Watch both pools, the rounds and the sessions; q or Ctrl-C ends it."""
    addresses = [one.strip() for one in (address or find_cluster().address).split(",") if one.strip()]
    if not addresses:
        raise ConfigError("--address names no orchestrator: give HOST:PORT", setting="address")
    console = Console(highlight=False)
    views = _views(addresses, interval_seconds, connection)
    if is_once:
        view = asyncio.run(_look_twice(views))
        _print(view, console, as_json=as_json)
        if not any(one.status is not None for one in view.answers):
            raise typer.Exit(FAILURE_EXIT_CODE)
        return
    if not as_json and (not console.is_terminal or console.is_dumb_terminal):
        raise ConfigError("stdout is no terminal that can be drawn on: give --once or --json", setting="once")
    stop = asyncio.Event()
    work = _print_lines(views) if as_json else _show(views, console, stop)
    asyncio.run(_until_stopped(work, stop))


async def _views(
    addresses: Sequence[str], interval_seconds: float, connection: ConnectionSettings
) -> AsyncGenerator[View]:
    """Yield a view after each look, for ever."""
    history = History()
    async with connect_to_orchestrators(addresses, interval_seconds, connection) as orchestrators:
        while True:
            began_at = time.monotonic()
            history.add(await orchestrators.poll())
            yield view_of(history)
            await asyncio.sleep(max(0.0, began_at + interval_seconds - time.monotonic()))


async def _look_twice(views: AsyncGenerator[View]) -> View:
    async with aclosing(views):
        await anext(views)
        return await anext(views)


async def _print_lines(views: AsyncGenerator[View]) -> None:
    async with aclosing(views):
        async for view in views:
            print(json.dumps(report(view)), flush=True)


async def _show(views: AsyncGenerator[View], console: Console, stop: asyncio.Event) -> None:
    """Draw on a screen of its own, again whenever the terminal changes its size."""
    shown: View | None = None

    def draw() -> None:
        if shown is not None:
            live.update(_as_text(frame(shown, *console.size)), refresh=True)

    def press(key: str) -> None:
        if key in _QUIT_KEYS:
            stop.set()

    loop = asyncio.get_running_loop()
    with (
        Live(Text("looking ..."), console=console, screen=True, auto_refresh=False) as live,
        keys_read(press),
    ):
        live.refresh()
        loop.add_signal_handler(signal.SIGWINCH, draw)
        try:
            async with aclosing(views):
                async for view in views:
                    shown = view
                    draw()
        finally:
            loop.remove_signal_handler(signal.SIGWINCH)


async def _until_stopped(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Run until `stop` is set, or a signal to stop comes, which is how this is meant to end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(work), asyncio.create_task(stop.wait())]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in done:
        task.result()


def _print(view: View, console: Console, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report(view)))
    else:
        console.print(_as_text(frame(view, console.width)))


def _as_text(lines: Sequence[Text]) -> Text:
    return Text("\n", no_wrap=True, overflow="crop").join(lines)
