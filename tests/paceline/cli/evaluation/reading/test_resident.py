"""Memory that is really there."""

import mmap
import os

import numpy as np
import pytest

from paceline.cli.evaluation.reading import resident
from paceline.cli.evaluation.reading.resident import resident_bytes

PAGE = os.sysconf("SC_PAGE_SIZE")
NUM_PAGES = 64


@pytest.fixture
def memory() -> np.ndarray:
    """Private memory that nobody has touched, in pages of the usual size."""
    mapped = mmap.mmap(-1, NUM_PAGES * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    mapped.madvise(mmap.MADV_NOHUGEPAGE)
    array = np.frombuffer(mapped, np.uint8)
    if resident_bytes(array.ctypes.data, array.nbytes) is None:
        pytest.skip("this kernel does not tell which pages a process has")
    return array


def test_only_what_was_written_to_is_there(memory: np.ndarray) -> None:
    address = memory.ctypes.data
    assert resident_bytes(address, memory.nbytes) == 0
    memory[3 * PAGE] = 1
    memory[10 * PAGE : 12 * PAGE] = 1
    assert resident_bytes(address, memory.nbytes) == 3 * PAGE


def test_a_page_counts_with_what_lies_inside(memory: np.ndarray) -> None:
    address = memory.ctypes.data
    memory[: 4 * PAGE] = 1
    assert resident_bytes(address + 100, 2 * PAGE) == 2 * PAGE
    assert resident_bytes(address + PAGE - 1, 2) == 2
    assert resident_bytes(address + 4 * PAGE - 10, PAGE) == 10
    assert resident_bytes(address, 0) == 0


def test_where_the_kernel_does_not_tell_nothing_is_known(
    memory: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]
) -> None:
    monkeypatch.setattr(resident, "_PAGEMAP", resident.Path(tmp_path) / "none")
    assert resident_bytes(memory.ctypes.data, PAGE) is None
    (resident.Path(tmp_path) / "none").write_bytes(b"")
    assert resident_bytes(memory.ctypes.data, PAGE) is None
