"""How far a download is."""

from collections.abc import Callable
from typing import TypeAlias

# Called with the bytes that have arrived and the bytes of the whole file.
Progress: TypeAlias = Callable[[int, int], None]


def ignore_progress(num_bytes_done: int, num_bytes_total: int) -> None:
    """Take a progress report and do nothing."""
