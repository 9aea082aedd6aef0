"""How far an engine has come, and what it has to do."""

from dataclasses import dataclass
from typing import NamedTuple


class EngineProgress(NamedTuple):
    """A sign of life, as in `paceline.v1.Progress`."""

    num_steps: int  # forward passes since the start
    longest_step_ns: int  # the longest of the latest passes; the self-test's before the first one
    num_waiting: int  # works that wait for room in the KV cache, for their sequence, or to be looked at
    num_available_blocks: (
        int  # free blocks, and those that nobody holds but that can be found by their content
    )
    num_blocks: int  # all but the padding block
    num_running: int = 0  # works that are being computed


@dataclass(frozen=True)
class CacheUsage:
    """Blocks of `block_size` tokens: all but the padding block are free, cached (idle, found by content) or used.

    Since the start, so many sequences have lost theirs to others: idle ones, and ones between two rounds.
    """

    num_blocks: int
    num_free_blocks: int
    num_cached_blocks: int
    num_used_blocks: int
    block_size: int
    num_evicted_idle: int = 0
    num_preempted: int = 0
