"""The engine: one model, one paged KV cache, one scheduler thread that serves every sequence.

The loop is three calls: admit what has come, run one forward pass over the rows that are due, hand out results.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Condition, Thread
from time import monotonic_ns
from typing import Literal, Self

from paceline.engine.admission import Limits, admit
from paceline.engine.batch import Rows, chunked_batch, split_batch
from paceline.engine.block_pool import BlockPool
from paceline.engine.errors import (
    EngineFailedError,
    EngineStoppedError,
    PositionMismatchError,
    SelfTestError,
    SequenceClosedError,
)
from paceline.engine.precision import choose_precision
from paceline.engine.runner import Runner, RunnerConfig, load_model
from paceline.engine.scheduling import RowBudget, plan_step
from paceline.engine.self_test import SelfTestReport, check_finite, run_self_test
from paceline.engine.sequence import Sequence
from paceline.engine.task import Pass, Task
from paceline.engine.work import Logits, Work, WorkHandle
from paceline.errors import PacelineError

__all__ = ["CacheUsage", "Engine", "EngineConfig", "EngineInfo", "SelfTestReport"]

Invariance = Literal["require", "prefer", "off"]


@dataclass(frozen=True)
class EngineConfig:
    """How a model is loaded.

    Attributes:
        model_directory: A prepared directory, see `paceline.models.prepare`.
        kv_cache_bytes: Memory for the KV cache.
        num_threads: Threads of a forward pass.
        device: OpenVINO device: "CPU", "GPU" or "NPU".
        compute_precision: "f32", "bf16", or "auto": what is fastest for the weights on this device.
        kv_precision: "f32", "f16", "bf16", "u8", or "auto": as the computation.
        max_rows_per_step: Most rows of a forward pass.
        batch_invariant: "require" refuses to load a model whose logits depend on the batch, "prefer" reports it,
            "off" promises nothing and lays prompts out in the faster, chunked way.
        max_context_tokens: Longest sequence; the model's own limit, or the cache's if that is smaller, where None.
    """

    model_directory: Path
    kv_cache_bytes: int
    num_threads: int
    device: str = "CPU"
    compute_precision: str = "auto"
    kv_precision: str = "auto"
    max_rows_per_step: int = 64
    batch_invariant: Invariance = "require"
    max_context_tokens: int | None = None


@dataclass(frozen=True)
class EngineInfo:
    """What is loaded; sizes as in `paceline.v1.ModelInfo`."""

    name: str
    family: str
    weights: str
    compute_precision: str
    kv_precision: str
    device: str
    vocabulary_size: int
    max_context_tokens: int
    kv_bytes_per_token: int
    kv_capacity_tokens: int
    self_test: SelfTestReport
    numerics_digest: str


@dataclass(frozen=True)
class CacheUsage:
    """Blocks of `block_size` tokens: all but the padding block are free, cached (idle, found by content) or used."""

    num_blocks: int
    num_free_blocks: int
    num_cached_blocks: int
    num_used_blocks: int
    block_size: int


@dataclass
class _Inbox:
    """What other threads hand to the scheduler thread. Guarded by `changed`."""

    changed: Condition = field(default_factory=Condition)
    handles: list[WorkHandle] = field(default_factory=list)
    errands: list[Callable[[], None]] = field(default_factory=list)  # forks and closings, in order
    is_stopping: bool = False
    was_woken: bool = False


class Engine:
    """Serves works on sequences. All methods may be called from any thread."""

    def __init__(self, runner: Runner, info: EngineInfo, config: EngineConfig) -> None:
        """Start the scheduler thread; `Engine.load` is the usual way here."""
        self.info = info
        self._runner = runner
        self._pool = BlockPool(runner.num_blocks, runner.block_size)
        self._limits = Limits(info.vocabulary_size, info.max_context_tokens)
        self._budget = RowBudget(max_rows=config.max_rows_per_step)
        self._lay_out = chunked_batch if config.batch_invariant == "off" else split_batch
        self._inbox = _Inbox()
        self._sequences: dict[int, Sequence] = {}
        self._waiting: list[WorkHandle] = []
        self._tasks: list[Task] = []
        self._num_steps = 0
        self._ended_by: PacelineError | None = None
        self._thread = Thread(target=self._run, name="engine-scheduler", daemon=True)
        self._thread.start()

    @classmethod
    def load(cls, config: EngineConfig) -> Self:
        """Build, compile and self-test a prepared model; takes seconds.

        Raises:
            UnsupportedModelError: The directory holds no model that can be built.
            BlocksExhaustedError: `kv_cache_bytes` is too small to be of use.
            SelfTestError: Logits are not finite, or not batch-invariant where that is required.
        """
        manifest, build = load_model(config.model_directory)
        precision = choose_precision(
            config.device, manifest.weights, config.compute_precision, config.kv_precision
        )
        runner_config = RunnerConfig(
            config.device, precision.compute, precision.kv, config.num_threads, config.kv_cache_bytes
        )
        runner = Runner(build(), runner_config)
        shape = manifest.architecture
        test = check_finite if config.batch_invariant == "off" else run_self_test
        report = test(runner, shape.vocabulary_size)
        if config.batch_invariant == "require":
            _require_invariance(report, config, precision.compute, precision.kv)
        capacity = (runner.num_blocks - 1) * runner.block_size
        info = EngineInfo(
            name=manifest.name,
            family=shape.family,
            weights=manifest.weights,
            compute_precision=precision.compute,
            kv_precision=precision.kv,
            device=config.device,
            vocabulary_size=shape.vocabulary_size,
            max_context_tokens=min(config.max_context_tokens or capacity, shape.max_context_tokens, capacity),
            kv_bytes_per_token=runner.kv_bytes_per_token,
            kv_capacity_tokens=capacity,
            self_test=report,
            numerics_digest=report.numerics_digest,
        )
        return cls(runner, info, config)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open_sequence(self) -> Sequence:
        """Return an empty sequence; it holds blocks only once work has run."""
        return Sequence(self._pool)

    def close_sequence(self, sequence: Sequence) -> None:
        """Free a sequence's blocks; works of it that have not ended fail with SequenceClosedError."""
        with self._inbox.changed:
            self._inbox.errands.append(partial(self._close, sequence))
            self._wake()

    def fork_sequence(self, sequence: Sequence, num_tokens: int) -> "Future[Sequence]":
        """Return a new sequence that knows the first `num_tokens` ids and shares the blocks that hold them.

        The future fails with PositionMismatchError or SequenceClosedError.
        """
        forked: Future[Sequence] = Future()
        with self._inbox.changed:
            if self._inbox.is_stopping or self._ended_by is not None:
                forked.set_exception(self._ended_by or _stopped())
            else:
                self._inbox.errands.append(partial(self._fork, sequence, num_tokens, forked))
                self._wake()
        return forked

    def submit(self, work: Work) -> WorkHandle:
        """Hand work to the scheduler. Errors arrive in the handle's future."""
        handle = WorkHandle(work, self._wake)
        with self._inbox.changed:
            if self._inbox.is_stopping or self._ended_by is not None:
                handle.future.set_exception(self._ended_by or _stopped())
            else:
                self._inbox.handles.append(handle)
                self._wake()
        return handle

    def usage(self) -> CacheUsage:
        """Count the blocks; a snapshot while works run."""
        pool = self._pool
        return CacheUsage(pool.num_blocks - 1, pool.num_free, pool.num_idle, pool.num_used, pool.block_size)

    @property
    def failure(self) -> PacelineError | None:
        """What ended the engine, None while it serves: the process should then stop being healthy."""
        return self._ended_by

    def close(self) -> None:
        """End the scheduler thread after the running pass; works that have not ended fail with EngineStoppedError."""
        with self._inbox.changed:
            self._inbox.is_stopping = True
            self._wake()
        self._thread.join()

    def _wake(self) -> None:
        with self._inbox.changed:
            self._inbox.was_woken = True
            self._inbox.changed.notify()

    def _run(self) -> None:
        ending: PacelineError = _stopped()
        try:
            while self._take_in():
                self._admit()
                self._step()
                self._hand_out()
        except Exception as error:  # a pass that failed leaves a cache that nobody can trust
            ending = EngineFailedError(f"The engine failed: {error}. Go on with another replica.")
            ending.__cause__ = error
        self._end(ending)

    def _end(self, error: PacelineError) -> None:
        """Answer everything that is left, and all that still comes, with an error."""
        with self._inbox.changed:
            self._ended_by = error
            left, self._inbox.handles = self._inbox.handles, []
            errands, self._inbox.errands = self._inbox.errands, []
        for errand in errands:
            errand()
        for task in self._tasks:
            task.fail(error)
        for handle in [*self._waiting, *left]:
            _fail(handle, error)
        self._tasks, self._waiting = [], []

    def _take_in(self) -> bool:
        """Wait for something to do, and empty the inbox; False means stop."""
        inbox = self._inbox
        with inbox.changed:
            while not (inbox.was_woken or self._tasks or self._waiting or inbox.is_stopping):
                inbox.changed.wait()
            inbox.was_woken = False
            arrived, inbox.handles = inbox.handles, []
            errands, inbox.errands = inbox.errands, []
        self._waiting += arrived
        for errand in errands:
            errand()
        return not inbox.is_stopping

    def _close(self, sequence: Sequence) -> None:
        gone = [task for task in self._tasks if task.sequence is sequence]
        self._tasks = [task for task in self._tasks if task.sequence is not sequence]
        sequence.close()
        self._sequences.pop(id(sequence), None)
        for task in gone:
            task.fail(SequenceClosedError("The session was released while it ran."))

    def _fork(self, sequence: Sequence, num_tokens: int, forked: "Future[Sequence]") -> None:
        if not forked.set_running_or_notify_cancel():
            return
        num_known = len(sequence.token_ids)
        if sequence.is_closed:
            forked.set_exception(SequenceClosedError("The session was released."))
        elif not 0 <= num_tokens <= num_known:
            message = f"The cache knows {num_known} ids, not {num_tokens}; send them from position 0."
            error = PositionMismatchError(message, position=num_tokens, known_position=num_known)
            forked.set_exception(error)
        else:
            sharer = sequence.fork(num_tokens)
            self._sequences[id(sharer)] = sharer
            forked.set_result(sharer)

    def _admit(self) -> None:
        """Admit works whose sequences are free, in the order of their arrival."""
        busy = {id(task.sequence) for task in self._tasks}
        still_waiting: list[WorkHandle] = []
        for handle in self._waiting:
            if id(handle.work.sequence) in busy:
                still_waiting.append(handle)
            elif self._start(handle, busy):
                busy.add(id(handle.work.sequence))
        self._waiting = still_waiting

    def _start(self, handle: WorkHandle, busy: set[int]) -> bool:
        if not handle.future.set_running_or_notify_cancel():
            return False
        try:
            admitted = admit(handle.work, self._pool, self._limits, self._idle(busy), self._runner.copy_block)
        except PacelineError as error:
            handle.future.set_exception(error)
            return False
        sequence = handle.work.sequence
        sequence.last_step = self._num_steps  # it waits from now on
        self._sequences[id(sequence)] = sequence
        self._tasks.append(Task(handle, admitted))
        return True

    def _idle(self, busy: set[int]) -> Iterator[Sequence]:
        """Sequences without work that hold blocks, the one served longest ago first."""
        waiting = {id(handle.work.sequence) for handle in self._waiting}
        idle = (one for key, one in self._sequences.items() if key not in busy and one.blocks)
        return iter(sorted(idle, key=lambda one: (id(one) in waiting, one.last_step)))

    def _step(self) -> None:
        """One forward pass over the rows that are due."""
        plan = plan_step([task.due() for task in self._tasks], self._budget)
        running = [(task, task.rows(num)) for task, num in zip(self._tasks, plan, strict=True) if num]
        if not running:
            return
        started_ns = monotonic_ns()
        min_rows = self.info.self_test.min_rows
        batch = self._lay_out([rows for _, rows in running], min_rows, self._runner.block_size)
        logits = self._runner.forward(batch)
        self._num_steps += 1
        first = 0
        for task, rows in running:
            part = logits[first : first + rows.num_logits]
            self._apply(task, rows, part, Pass(self._num_steps, batch.num_rows, started_ns))
            first += rows.num_logits

    def _apply(self, task: Task, rows: Rows, logits: Logits, step: Pass) -> None:
        """A selector that fails ends its own work and no other."""
        try:
            task.apply(rows, logits, step)
        except Exception as error:
            self._tasks.remove(task)
            task.fail(error)

    def _hand_out(self) -> None:
        done = [task for task in self._tasks if not task.num_pending]
        # Not asked again: `finish` may be called at any moment.
        self._tasks = [task for task in self._tasks if task not in done]
        for task in done:
            task.resolve()


def _fail(handle: WorkHandle, error: PacelineError) -> None:
    """Answer a work with an error, unless it has an answer or was cancelled."""
    future = handle.future
    if future.running() or (not future.done() and future.set_running_or_notify_cancel()):
        future.set_exception(error)


def _require_invariance(report: SelfTestReport, config: EngineConfig, compute: str, kv: str) -> None:
    if report.batch_invariant:
        return
    checks = ", ".join(report.failed_checks)
    message = (
        f"Logits on {config.device} in {compute} with {kv} KV depend on the batch (failed: {checks}). Choose another "
        'precision, or batch_invariant "prefer" to serve without the promise of exactness.'
    )
    raise SelfTestError(message, check=checks)


def _stopped() -> EngineStoppedError:
    return EngineStoppedError("The replica is shutting down; go on with another one.")
