"""Ctrl-C as a wish: what runs ends at a good point, and what it had done is kept."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from paceline.local.stop_signals import STOPPING


class Interruption:
    """Whether somebody has asked to stop."""

    def __init__(self) -> None:
        self.is_wanted = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the first stop signal as a wish, on the main thread; a second one interrupts at once."""
        # What is ignored stays so: that is what nohup does.
        heard = [number for number in STOPPING if signal.getsignal(number) != signal.SIG_IGN]
        previous = {number: signal.signal(number, self._receive) for number in heard}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.is_wanted:
            raise KeyboardInterrupt
        self.is_wanted = True
