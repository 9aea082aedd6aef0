"""What a model's process does for its KV memory: fill sequences, and ask the kernel what they hold."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from paceline.cli.evaluation.reading.kv_layout import num_blocks_of
from paceline.cli.evaluation.reading.plan import Progress
from paceline.cli.evaluation.reading.resident import resident_bytes
from paceline.engine.batch import Rows, chunked_batch
from paceline.engine.block_pool import PADDING_BLOCK
from paceline.engine.engine import EngineConfig
from paceline.engine.precision import Precision
from paceline.engine.runner import Runner, RunnerConfig, load_model

NUM_SESSIONS = 4
TOKENS_OF_SESSION = 128
_ROWS_OF_PASS = 64


class HeldBytes(NamedTuple):
    """What the cache holds of memory; None where the kernel does not tell."""

    of_tokens: int | None  # in the blocks of sessions
    of_cache: int | None  # of all that was allocated for the cache


@dataclass(frozen=True)
class KvProbe:
    """A cache with so many tokens in it, and what one block takes as the compiled model has it."""

    num_tokens: int
    held: HeldBytes
    block_bytes: int


def probe_kv(
    config: EngineConfig, compute_precision: str, kv_precision: str, name: str, progress: Progress
) -> KvProbe:
    """Compile a model with this KV precision, fill a few sessions whole, and read what they hold.

    The cache is as large as the service's, and the kernel gives its memory only when it is written to. What is counted
    is exact: the memory behind those blocks that sessions hold, page by page. The growth of the whole process would be
    less than that where the allocator hands out memory again that was freed before, and more where the kernel gives
    2 MiB at once (it does for arrays of 4 MiB on, at numpy's wish): each array is then rounded up, by less than one
    such page, which shows in a cache that is nearly empty and in none that is nearly full.
    """
    progress(f"{name}: loading", 0, 1)
    _, build = load_model(config.model_directory, config.head)
    runner = _TransparentRunner(
        build(),
        RunnerConfig.of(config, Precision(compute_precision, kv_precision)),
        weights=build,
    )
    num_sessions = min(NUM_SESSIONS, (runner.num_blocks - 1) // num_blocks_of(TOKENS_OF_SESSION))
    for session in range(num_sessions):
        _fill(runner, session)
        progress(f"{name}: filling the cache", session + 1, num_sessions)
    num_tokens = num_sessions * TOKENS_OF_SESSION
    return KvProbe(num_tokens, runner.held(num_blocks_of(num_tokens)), runner.block_bytes)


class _TransparentRunner(Runner):
    """A runner that tells what its cache holds."""

    @property
    def block_bytes(self) -> int:
        """Bytes of one block, all layers."""
        return sum(cache.shape[1] for cache in self._caches)

    def held(self, num_blocks: int) -> HeldBytes:
        """Return what lies behind the first blocks after the padding block, and behind the whole cache."""
        first = PADDING_BLOCK + 1
        blocks = [cache[first : first + num_blocks] for cache in self._caches]
        return HeldBytes(
            _sum_of([resident_bytes(one.ctypes.data, one.nbytes) for one in blocks]),
            _sum_of([resident_bytes(one.ctypes.data, one.nbytes) for one in self._caches]),
        )


def _sum_of(parts: list[int | None]) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _fill(runner: Runner, session: int) -> None:
    """Compute all tokens of a session, in the blocks that an engine would give it."""
    num_blocks = num_blocks_of(TOKENS_OF_SESSION)
    first = PADDING_BLOCK + 1 + session * num_blocks
    blocks = range(first, first + num_blocks)
    ids: list[int] = (np.arange(TOKENS_OF_SESSION) % 97 + session).tolist()
    for start in range(0, TOKENS_OF_SESSION, _ROWS_OF_PASS):
        rows = Rows(ids[start : start + _ROWS_OF_PASS], start, blocks, 0)
        runner.forward(chunked_batch([rows], 1, runner.block_size))
