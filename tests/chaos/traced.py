"""Runs a program that tells where its tasks are on SIGUSR2: `python -m tests.chaos.traced PROGRAM [ARGUMENT...]`.

So that the log of a process that does not end says why.
"""

import asyncio
import runpy
import signal
import sys
from collections.abc import Iterator
from typing import Any

TELL = signal.SIGUSR2
END = "that is where all tasks wait"


def tell_tasks(number: int, frame: object) -> None:
    """Print where every task waits, and END."""
    for task in asyncio.all_tasks(asyncio.get_running_loop()):
        places = "\n".join(f"    {place}" for place in waiting_places(task.get_coro()))
        print(f"task {task.get_name()} waits in\n{places}", file=sys.stderr)
    print(END, file=sys.stderr, flush=True)


def waiting_places(awaitable: Any) -> Iterator[str]:
    """Yield the places of a chain of coroutines and generators, the outermost first."""
    while awaitable is not None:
        kind = next((kind for kind in ("cr", "ag", "gi") if hasattr(awaitable, f"{kind}_frame")), None)
        if kind is None:
            yield repr(awaitable)
            return
        if (frame := getattr(awaitable, f"{kind}_frame")) is not None:
            yield f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}"
        awaitable = getattr(awaitable, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")


if __name__ == "__main__":
    del sys.argv[0]
    signal.signal(TELL, tell_tasks)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
