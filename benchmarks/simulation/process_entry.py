"""How a process of the simulation starts and talks: JSON lines, a wish on stdin, its answer on stdout."""

import asyncio
import os
import selectors
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import TypeAdapter

from paceline.serving.lifeline import tie_to_parent
from paceline.serving.logs import configure_logs

T = TypeVar("T")


def run_process(name: str, serve: Callable[[], Awaitable[None]]) -> None:
    """Run a coroutine function in a process that ends with its parent, whose pid is the only argument."""
    tie_to_parent(int(sys.argv[1]))
    configure_logs(name, "error")
    with asyncio.Runner(loop_factory=_precise_loop) as runner:
        runner.run(serve())  # pyright: ignore[reportArgumentType] - every awaitable of ours is a coroutine


def _precise_loop() -> asyncio.AbstractEventLoop:
    """Return a loop that wakes to the microsecond; epoll rounds every timeout up to a millisecond."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


async def next_wish(kind: type[T]) -> T | None:
    """Read the next wish; None when no more will come."""
    line = await asyncio.to_thread(sys.stdin.readline)
    return TypeAdapter(kind).validate_json(line) if line.strip() else None


def answer(value: object) -> None:
    """Write an answer."""
    sys.stdout.buffer.write(TypeAdapter(type(value)).dump_json(value) + b"\n")
    sys.stdout.buffer.flush()


def pin(cores: tuple[int, ...]) -> None:
    """Run on these cores only; an empty tuple changes nothing."""
    if cores:
        os.sched_setaffinity(0, cores)
