"""Keys as they are pressed, without Enter."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_CC = 6  # where `tcgetattr` has the special characters
_MAX_BYTES = 64


@contextmanager
def keys_read(press: Callable[[str], None]) -> Iterator[None]:
    """Have `press` called with each key inside a `with`, by the running loop; nothing where stdin is no terminal.

    Ctrl-Z is off inside: a process that it stopped would leave the screen and the keyboard as they are here.
    """
    if not sys.stdin.isatty():
        yield
        return
    terminal, loop = sys.stdin.fileno(), asyncio.get_running_loop()

    def read() -> None:
        pressed = os.read(terminal, _MAX_BYTES).decode(errors="replace")
        if not pressed:  # it has hung up
            loop.remove_reader(terminal)
        for key in pressed:
            press(key)

    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)
    without_stop = termios.tcgetattr(terminal)
    without_stop[_CC][termios.VSUSP] = b"\0"
    termios.tcsetattr(terminal, termios.TCSANOW, without_stop)
    loop.add_reader(terminal, read)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
