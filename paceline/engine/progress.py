"""How far an engine has come."""

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
