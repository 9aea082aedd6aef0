"""An engine without a model whose passes a test can hold, so that "while it runs" is no matter of luck."""

import zlib
from collections.abc import Sequence as Ids
from threading import Condition, Thread

import numpy as np

from paceline.engine.block_pool import BlockPool
from paceline.engine.engine import EngineInfo, SelfTestReport
from paceline.engine.errors import (
    ContextTooLongError,
    PositionMismatchError,
    SequenceClosedError,
    WorkAbandonedError,
)
from paceline.engine.progress import CacheUsage, EngineProgress
from paceline.engine.sequence import Sequence
from paceline.engine.work import Work, WorkHandle, WorkResult, WorkTiming
from paceline.errors import PacelineError

VOCABULARY_SIZE = 1000
MAX_CONTEXT_TOKENS = 200

INFO = EngineInfo(
    name="fake",
    family="llama",
    weights="int8",
    compute_precision="f32",
    kv_precision="f32",
    device="CPU",
    vocabulary_size=VOCABULARY_SIZE,
    max_context_tokens=MAX_CONTEXT_TOKENS,
    kv_bytes_per_token=1,
    kv_capacity_tokens=1000,
    self_test=SelfTestReport(True, 1, 1, (), "00"),
    numerics_digest="00",
)


def next_id(ids: Ids[int]) -> int:
    """The one continuation of some ids."""
    return zlib.crc32(np.array(ids, np.uint32).tobytes()) % VOCABULARY_SIZE


def continuation(ids: Ids[int], num_ids: int) -> list[int]:
    """What greedy decoding gives."""
    known = list(ids)
    for _ in range(num_ids):
        known.append(next_id(known))
    return known[len(ids) :]


class FakeEngine:
    """Keeps the promises of the engine's interface; a pass gives each running work one row or one drawn id."""

    def __init__(self) -> None:
        self.info = INFO
        self.failure: PacelineError | None = None
        self.works: list[Work] = []
        self.open_sequences: list[Sequence] = []
        self.forked: list[Sequence] = []
        self.num_steps = 0
        self._pool = BlockPool(8, 4)
        self._changed = Condition()
        self.handles: list[WorkHandle] = []
        self._num_permits: int | None = None
        self._is_stopping = False
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def open_sequence(self) -> Sequence:
        sequence = Sequence(self._pool)
        self.open_sequences.append(sequence)
        return sequence

    def fork_sequence(self, source: Sequence) -> Sequence:
        with self._changed:
            self.forked.append(source)
            return self.open_sequence()

    def progress(self) -> EngineProgress:
        return EngineProgress(self.num_steps, 5, len(self.handles), 7, 7)

    def usage(self) -> CacheUsage:
        return CacheUsage(7, self._pool.num_free, self._pool.num_idle, self._pool.num_used, 4)

    def close_sequence(self, sequence: Sequence) -> None:
        with self._changed:
            self.open_sequences.remove(sequence)
            sequence.close()
            gone = [one for one in self.handles if one.work.sequence is sequence]
            self.handles = [one for one in self.handles if one not in gone]
        for handle in gone:
            handle.future.set_exception(SequenceClosedError("closed"))

    def submit(self, work: Work) -> WorkHandle:
        handle = WorkHandle(work, self._wake)
        with self._changed:
            self.works.append(work)
            self.handles.append(handle)
            self._changed.notify()
        return handle

    def hold(self) -> None:
        """Let no pass begin."""
        with self._changed:
            self._num_permits = 0

    def let_go(self) -> None:
        """Let passes run freely."""
        with self._changed:
            self._num_permits = None
            self._changed.notify()

    def allow(self, num_passes: int) -> None:
        """Let so many more passes run."""
        with self._changed:
            self._num_permits = (self._num_permits or 0) + num_passes
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._is_stopping and (not self.handles or self._num_permits == 0):
                    self._changed.wait()
                if self._is_stopping:
                    return
                if self._num_permits is not None:
                    self._num_permits -= 1
                self.num_steps += 1
                running = {id(one.work.sequence): one for one in reversed(self.handles)}
            for handle in running.values():
                self._pass(handle)

    def _pass(self, handle: WorkHandle) -> None:
        if handle.is_abandoned:
            self._end(handle)
            if not handle.future.done():
                handle.future.set_exception(WorkAbandonedError("abandoned"))
            return
        try:
            is_done = self._begin(handle) if not handle.chosen_ids else self._draw(handle)
        except PacelineError as error:
            self._end(handle)
            handle.future.set_exception(error)
            return
        if is_done or handle.is_finishing:
            self._end(handle)
            ids = np.array(handle.chosen_ids, np.int64)
            num_selected = handle.work.num_selected
            timing = WorkTiming(1, 2, 3, 4, 0)
            handle.future.set_result(WorkResult(ids[:num_selected], ids[num_selected:], timing))

    def _begin(self, handle: WorkHandle) -> bool:
        work, ids = handle.work, handle.work.sequence.token_ids
        if work.position > len(ids):
            raise PositionMismatchError("mismatch", position=work.position, known_position=len(ids))
        ids = ids[: work.position] + work.token_ids.tolist()
        if len(ids) > MAX_CONTEXT_TOKENS:
            raise ContextTooLongError("too long", num_tokens=len(ids), max_context_tokens=MAX_CONTEXT_TOKENS)
        work.sequence.token_ids = ids
        first = len(ids) - work.num_selected + 1
        handle.chosen_ids.extend(next_id(ids[:end]) for end in range(first, len(ids) + 1))
        if work.num_drawn:
            ids.append(handle.chosen_ids[-1])
        return not work.num_drawn or handle.chosen_ids[-1] in work.stop_ids

    def _draw(self, handle: WorkHandle) -> bool:
        work = handle.work
        handle.chosen_ids.append(next_id(work.sequence.token_ids))
        work.sequence.token_ids.append(handle.chosen_ids[-1])
        num_chosen = work.num_selected + work.num_drawn
        return len(handle.chosen_ids) == num_chosen or handle.chosen_ids[-1] in work.stop_ids

    def _end(self, handle: WorkHandle) -> None:
        with self._changed:
            if handle in self.handles:
                self.handles.remove(handle)
