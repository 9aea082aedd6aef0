"""A runner whose "model" is a hash of the KV that it really reads, so that a wrong block shows as a wrong id.

The KV of a row is a hash of its id, its position and the KV before it; a row's logits point at a hash of all the KV
that its block table reaches. One stale block, one missing copy, one row too few, and the chosen id is another.
"""

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Items
from hashlib import blake2b
from pathlib import Path
from threading import Event

import numpy as np

from paceline.engine.batch import Batch
from paceline.engine.block_pool import PADDING_BLOCK
from paceline.engine.engine import (
    AdmissionRules,
    CacheUpdate,
    Engine,
    EngineConfig,
    EngineInfo,
    SelfTestReport,
)
from paceline.engine.sequence import Sequence
from paceline.engine.work import Logits

VOCABULARY_SIZE = 97
BLOCK_SIZE = 4
# Sequences can be evicted as soon as their work has ended, and works wait for as long as a test may take.
UNPROTECTED = AdmissionRules(deadline_seconds=3600, protect_seconds=0)


class HashRunner:
    """Stands in for `paceline.engine.runner.Runner`.

    Attributes:
        sequences: Where they are given, each row must write to a slot of its own, whose KV no sequence has yet.
        writes_once: Whether besides a block must be written in order, from its first slot on, and never copied.
        before_pass: Called with each batch before it runs.
    """

    def __init__(self, num_blocks: int, block_size: int = BLOCK_SIZE) -> None:
        self.least_rows = 1
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.kv_bytes_per_token = 8
        self.sequences: Mapping[int, Sequence] | None = None
        self.writes_once = False
        self.before_pass: Callable[[Batch], None] = lambda _: None
        self._kv = np.random.default_rng(1).integers(2**62, size=(num_blocks, block_size), dtype=np.uint64)
        self._num_written = [0] * num_blocks

    def forward(self, batch: Batch) -> Logits:
        self.before_pass(batch)
        inputs = batch.inputs
        ids, positions = inputs["input_ids"].tolist(), inputs["position_ids"].tolist()
        tables = _tables(batch)
        if self.sequences is not None:
            self._require_own_slots(self.sequences, positions, tables)
        for row in sorted(range(len(ids)), key=positions.__getitem__):
            before = self._slots(tables[row], positions[row])
            block = tables[row][positions[row] // self.block_size]
            self._kv[block, positions[row] % self.block_size] = _kv(ids[row], positions[row], before)
        logits = np.zeros((batch.num_logits, VOCABULARY_SIZE), np.float32)
        for index, row in enumerate(inputs["logit_rows"].tolist()[: batch.num_logits]):
            logits[index, _choice(self._slots(tables[row], positions[row] + 1))] = 1
        return logits

    def copy_block(self, source: int, destination: int) -> None:
        assert not self.writes_once, "a block is copied"
        self._kv[destination] = self._kv[source]

    def _slots(self, table: Items[int], num_slots: int) -> list[int]:
        return self._kv[list(table)].reshape(-1)[:num_slots].tolist()

    def _require_own_slots(
        self, sequences: Mapping[int, Sequence], positions: list[int], tables: list[list[int]]
    ) -> None:
        size = self.block_size
        written = [
            (table[position // size], position % size)
            for position, table in zip(positions, tables, strict=True)
            if table[0] != PADDING_BLOCK
        ]
        assert len(set(written)) == len(written), "two rows write the same slot"
        in_use = {slot for sequence in sequences.values() for slot in self._slots_in_use(sequence)}
        assert in_use.isdisjoint(written), "KV that a sequence has is written over"
        if self.writes_once:
            self._require_order(written)

    def _require_order(self, written: list[tuple[int, int]]) -> None:
        """A block that begins anew is another one; no slot of the same one is written twice."""
        for block, slot in sorted(written):
            assert slot in {0, self._num_written[block]}, "a slot is written twice"
            self._num_written[block] = slot + 1

    def _slots_in_use(self, sequence: Sequence) -> Iterator[tuple[int, int]]:
        for position in range(sequence.num_computed):
            yield sequence.blocks[position // self.block_size], position % self.block_size


def next_id(ids: Items[int]) -> int:
    """The id that follows `ids`, computed without any cache."""
    slots: list[int] = []
    for position, token_id in enumerate(ids):
        slots.append(_kv(token_id, position, slots))
    return _choice(slots)


def continuation(ids: Items[int], num_ids: int) -> list[int]:
    """The `num_ids` ids that follow `ids` one after the other."""
    known = list(ids)
    for _ in range(num_ids):
        known.append(next_id(known))
    return known[len(ids) :]


def hash_engine(
    num_blocks: int = 64,
    max_rows: int = 64,
    max_context_tokens: int = 10_000,
    runner: HashRunner | None = None,
    admission: AdmissionRules = UNPROTECTED,
    max_decode_stall_seconds: float = 3600,  # as long as a test may hold a pass back
    cache_update: CacheUpdate = "keep",
) -> Engine:
    """An engine on a HashRunner; `num_blocks` counts the padding block."""
    runner = runner or HashRunner(num_blocks)
    capacity = (runner.num_blocks - 1) * runner.block_size
    report = SelfTestReport(True, 2, 0, (), "")
    info = EngineInfo(
        name="hash", family="hash", weights="f32", compute_precision="f32", kv_precision="f32", device="CPU",
        vocabulary_size=VOCABULARY_SIZE, max_context_tokens=min(max_context_tokens, capacity),
        kv_bytes_per_token=8, kv_capacity_tokens=capacity, self_test=report, numerics_digest="",
    )  # fmt: skip
    config = EngineConfig(
        Path("none"),
        kv_cache_bytes=0,
        num_threads=1,
        max_rows_per_step=max_rows,
        admission=admission,
        max_decode_stall_seconds=max_decode_stall_seconds,
        cache_update=cache_update,
    )
    engine = Engine(runner, info, config)  # pyright: ignore[reportArgumentType] - a stand-in of the same shape
    runner.sequences = engine._sequences
    runner.writes_once = cache_update != "keep"
    return engine


class Gate:
    """Holds passes back: `hold` it as `before_pass`; each `let_one_pass` lets the scheduler run one."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.is_open = False
        self._arrived = Event()
        self._may_go = Event()

    def hold(self, batch: Batch) -> None:
        self.batches.append(batch)
        self._arrived.set()
        if not self.is_open:
            self._may_go.wait()
            self._may_go.clear()

    def wait_for_pass(self) -> Batch:
        """Return the batch that waits at the gate."""
        self._arrived.wait()
        return self.batches[-1]

    def let_one_pass(self) -> None:
        self._arrived.wait()
        self._arrived.clear()
        self._may_go.set()

    def open(self) -> None:
        self.is_open = True
        self._may_go.set()


def _tables(batch: Batch) -> list[list[int]]:
    """The block table of every row."""
    lengths = np.diff(batch.inputs["subsequence_begins"])
    begins = batch.inputs["block_indices_begins"]
    indices = batch.inputs["block_indices"].tolist()
    return [
        indices[begins[subsequence] : begins[subsequence + 1]]
        for subsequence, length in enumerate(lengths)
        for _ in range(length)
    ]


def _kv(token_id: int, position: int, before: Items[int]) -> int:
    return _hash([token_id, position, *before])


def _choice(slots: Items[int]) -> int:
    return _hash(slots) % VOCABULARY_SIZE


def _hash(values: Items[int]) -> int:
    digest = blake2b(np.array(values, np.uint64).tobytes(), digest_size=7).digest()
    return int.from_bytes(digest, "little")
