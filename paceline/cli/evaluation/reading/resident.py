"""How much of a range of our own memory is really there, as the kernel's page table has it."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

_PAGEMAP = Path("/proc/self/pagemap")
_ENTRY_BYTES = 8
# Bits of an entry: https://docs.kernel.org/admin-guide/mm/pagemap.html
_IS_SWAPPED, _IS_PRESENT = 62, 63


def resident_bytes(address: int, num_bytes: int) -> int | None:
    """Return the bytes of a range that lie on pages which the kernel has given us, in memory or swapped out.

    Pages that reach beyond the range count with what lies inside, so that neither their size nor what lies beside the
    range matters. None where the kernel does not tell.
    """
    if not num_bytes:
        return 0
    page_size = os.sysconf("SC_PAGE_SIZE")
    first, last = address // page_size, (address + num_bytes - 1) // page_size
    is_held = _held_pages(first, last - first + 1)
    if is_held is None:
        return None
    starts = np.arange(first, last + 1, dtype=np.int64) * page_size
    inside = np.minimum(starts + page_size, address + num_bytes) - np.maximum(starts, address)
    return int(inside[is_held].sum())


def _held_pages(first: int, num_pages: int) -> npt.NDArray[np.bool_] | None:
    """Return for each page whether it is present or swapped out."""
    try:
        with _PAGEMAP.open("rb") as pagemap:
            pagemap.seek(first * _ENTRY_BYTES)
            entries = np.frombuffer(pagemap.read(num_pages * _ENTRY_BYTES), np.uint64)
    except OSError:
        return None
    if len(entries) < num_pages:
        return None
    held = np.uint64(1 << _IS_PRESENT | 1 << _IS_SWAPPED)
    return (entries & held) != 0
