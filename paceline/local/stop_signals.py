"""Ctrl-C and its kin as cancellation: the first asks to stop, the second hurries."""

import asyncio
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager

from paceline.errors import PacelineError

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedError(PacelineError):
    """A stop signal ended the work (`signal`)."""

    reason = "STOPPED"

    def __init__(self, number: signal.Signals) -> None:
        self.signal = number
        super().__init__(f"stopped by {number.name}", signal=number.name)

    @property
    def exit_code(self) -> int:
        """The exit code of a program that a signal ended, as shells have it."""
        return 128 + self.signal


@contextmanager
def stop_signals(hurry: Callable[[], None]) -> Generator[None]:
    """Turn a stop signal inside a `with` into cancellation of the current task, then raise StoppedError.

    Further signals call `hurry`, while what was cancelled cleans up.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    received: list[signal.Signals] = []

    def receive(number: signal.Signals) -> None:
        received.append(number)
        if len(received) == 1:
            task.cancel()
        else:
            hurry()

    for number in STOPPING:
        loop.add_signal_handler(number, receive, number)
    try:
        yield
    except asyncio.CancelledError:
        if not received:
            raise
        task.uncancel()
        raise StoppedError(received[0]) from None
    finally:
        for number in STOPPING:
            loop.remove_signal_handler(number)
