"""The engine: one model, one paged KV cache, one scheduler thread that serves every sequence.

The loop is three calls: admit what has come, run one forward pass over the rows that are due, hand out results.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Thread
from time import monotonic, monotonic_ns
from typing import Self

from paceline.engine.admission import CacheUpdate, Limits, carry_out, plan_admission
from paceline.engine.backends import load_backend
from paceline.engine.batch import Rows, chunked_batch, split_batch
from paceline.engine.block_pool import BlockPool
from paceline.engine.config import EngineConfig
from paceline.engine.errors import (
    BlocksExhaustedError,
    EngineFailedError,
    EngineStoppedError,
    SelfTestError,
    SequenceClosedError,
)
from paceline.engine.eviction import eviction_order, is_between_rounds
from paceline.engine.gathering import Away, patience_seconds
from paceline.engine.model_runner import (
    BreakableRunner,
    DeviceLogits,
    LoadedRunner,
    ModelRunner,
    PassLogits,
    close_runner,
)
from paceline.engine.pass_clock import PassClock
from paceline.engine.precision import QUANTISED_KV
from paceline.engine.progress import CacheUsage, EngineProgress
from paceline.engine.scheduling import Due, RowBudget, StallBound, plan_step
from paceline.engine.self_test import SelfTestReport, check_finite, run_self_test
from paceline.engine.self_test_record import SelfTestRecord
from paceline.engine.sequence import Sequence
from paceline.engine.task import ChosenRows, Pass, Task
from paceline.engine.waiting_line import AdmissionRules, WaitingLine, abandoned, refuse
from paceline.engine.work import Work, WorkHandle
from paceline.errors import PacelineError

__all__ = [
    "AdmissionRules",
    "CacheUpdate",
    "Engine",
    "EngineConfig",
    "EngineInfo",
    "SelfTestReport",
    "load_runner",
]

WatchPass = Callable[[Pass], None]

# Of so many latest passes the longest is reported.
_NUM_TIMED_PASSES = 16
# Idle caches lose their protection, and works their patience, without any event that would wake the scheduler.
_LOOK_AGAIN_SECONDS = 0.02


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


@dataclass
class _Inbox:
    """What other threads hand to the scheduler thread. Guarded by `changed`."""

    changed: Condition = field(default_factory=Condition)
    handles: list[WorkHandle] = field(default_factory=list)
    errands: list[Callable[[], None]] = field(default_factory=list)  # forks and closings, in order
    is_stopping: bool = False
    was_woken: bool = False
    broken_by: PacelineError | None = None


class Engine:
    """Serves works on sequences. All methods may be called from any thread."""

    def __init__(
        self, runner: ModelRunner, info: EngineInfo, config: EngineConfig, watch: WatchPass | None = None
    ) -> None:
        """Start the scheduler thread; `Engine.load` is the usual way here.

        `watch` hears of each pass on that thread, so that it must be quick.
        """
        self.info = info
        self._watch = watch
        self._runner = runner
        self._pool = BlockPool(runner.num_blocks, runner.block_size)
        self._limits = Limits(info.vocabulary_size, info.max_context_tokens)
        self._stall_bound = StallBound(config.max_decode_stall_seconds, config.max_rows_per_step)
        self._clock = PassClock()
        self._lay_out = chunked_batch if config.batch_invariant == "off" else split_batch
        self._cache_update: CacheUpdate = config.cache_update
        self._inbox = _Inbox()
        self._sequences: dict[int, Sequence] = {}
        self._rules = config.admission
        self._line = WaitingLine(config.admission)
        self._tasks: list[Task] = []
        self._has_room_changed = False
        self._num_steps = 0
        self._num_admissions = 0
        self._num_evicted_idle = self._num_preempted = 0
        self._latest_passes_ns = deque([info.self_test.longest_pass_ns], maxlen=_NUM_TIMED_PASSES)
        self._longest_step_ns = info.self_test.longest_pass_ns
        self._ended_by: PacelineError | None = None
        self._thread = Thread(target=self._run, name="engine-scheduler", daemon=True)
        self._thread.start()
        if isinstance(runner, BreakableRunner):
            runner.on_break(self._break)

    @classmethod
    def load(cls, config: EngineConfig, watch: WatchPass | None = None) -> Self:
        """Build, compile and self-test a prepared model, and serve it; takes seconds. Raises as `load_runner` does."""
        runner, info = load_runner(config)
        return cls(runner, info, config, watch)

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

    def fork_sequence(self, source: Sequence) -> Sequence:
        """Return a new sequence that comes to share all that the source holds, before its own first work is looked at.

        The source may be at work. The fork's works truncate it to what they need, so that it is correct whatever it
        shares; from a source that is closed by then it gets nothing.
        """
        forked = Sequence(self._pool)
        with self._inbox.changed:
            self._inbox.errands.append(partial(self._fork, source, forked))
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
        return CacheUsage(
            num_blocks=pool.num_blocks - 1,
            num_free_blocks=pool.num_free,
            num_cached_blocks=pool.num_idle,
            num_used_blocks=pool.num_used,
            block_size=pool.block_size,
            num_evicted_idle=self._num_evicted_idle,
            num_preempted=self._num_preempted,
        )

    def progress(self) -> EngineProgress:
        """Tell how far the scheduler has come, without waiting for it: a pass that hangs shows as no more steps."""
        return EngineProgress(
            num_steps=self._num_steps,
            longest_step_ns=self._longest_step_ns,
            num_waiting=len(self._line) + len(self._inbox.handles),
            num_available_blocks=self._pool.num_available,
            num_blocks=self._pool.num_blocks - 1,
            num_running=len(self._tasks),
        )

    @property
    def failure(self) -> PacelineError | None:
        """What ended the engine, None while it serves: the process should then stop being healthy."""
        return self._ended_by

    def close(self, timeout_seconds: float | None = None) -> bool:
        """End the scheduler thread after the running pass, then the runner.

        Works that have not ended fail with EngineStoppedError.

        Returns False where the pass still runs after the timeout.
        """
        with self._inbox.changed:
            self._inbox.is_stopping = True
            self._wake()
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive() and close_runner(self._runner)

    def _wake(self) -> None:
        with self._inbox.changed:
            self._inbox.was_woken = True
            self._inbox.changed.notify()

    def _break(self, error: PacelineError) -> None:
        """End the engine though nobody asks anything of it."""
        with self._inbox.changed:
            self._inbox.broken_by = error
            self._wake()

    def _run(self) -> None:
        ending: PacelineError = _stopped()
        try:
            while self._take_in():
                self._drop_abandoned()
                self._admit()
                self._gather()
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
        self._line.refuse_all(error)
        for handle in left:
            refuse(handle, error)
        self._tasks = []

    def _take_in(self) -> bool:
        """Wait for something to do, and empty the inbox; False means stop."""
        inbox = self._inbox
        with inbox.changed:
            while not (inbox.was_woken or self._tasks or self._has_room_changed or inbox.is_stopping):
                if not inbox.changed.wait(_LOOK_AGAIN_SECONDS if len(self._line) else None):
                    break
        return self._empty_inbox()

    def _empty_inbox(self) -> bool:
        """Take in what has come; False means stop."""
        inbox = self._inbox
        with inbox.changed:
            if inbox.broken_by is not None and not inbox.is_stopping:
                raise inbox.broken_by
            inbox.was_woken = False
            arrived, inbox.handles = inbox.handles, []
            errands, inbox.errands = inbox.errands, []
        self._line.join(arrived)
        for errand in errands:
            errand()
        return not inbox.is_stopping

    def _close(self, sequence: Sequence) -> None:
        gone = self._remove_tasks(lambda task: task.sequence is sequence)
        sequence.close()
        self._sequences.pop(id(sequence), None)
        for task in gone:
            task.fail(SequenceClosedError("The session was released while it ran."))

    def _drop_abandoned(self) -> None:
        for task in self._remove_tasks(lambda task: task.handle.is_abandoned):
            task.fail(abandoned())

    def _remove_tasks(self, is_gone: Callable[[Task], bool]) -> list[Task]:
        gone = [task for task in self._tasks if is_gone(task)]
        self._tasks = [task for task in self._tasks if task not in gone]
        return gone

    def _fork(self, source: Sequence, forked: Sequence) -> None:
        if not (source.is_closed or forked.is_closed):
            forked.inherit(source)
            self._drop_unusable(forked)
            self._sequences[id(forked)] = forked

    def _admit(self) -> None:
        """Admit works whose sequences are free and for which there is room, in the order of their arrival."""
        self._has_room_changed = False
        self._line.admit({id(task.sequence) for task in self._tasks}, self._start)

    def _start(self, handle: WorkHandle, may_preempt: bool) -> None:
        """Admit one work; see `StartWork`."""
        work, sequence = handle.work, handle.work.sequence
        try:
            plan = plan_admission(
                work,
                self._pool,
                self._limits,
                partial(self._evictable, may_preempt=may_preempt),
                self._cache_update,
            )
        except BlocksExhaustedError:
            raise
        except PacelineError as error:
            refuse(handle, error)
            return
        if not handle.future.set_running_or_notify_cancel():
            return
        if plan.evicted:
            self._count_evictions(plan.evicted)
        admitted = carry_out(plan, work, self._pool, self._runner.copy_block)
        sequence.last_step = self._num_steps  # it waits from now on
        if sequence.is_live:
            sequence.note_return(handle.submitted_ns / 1e9)
        else:
            self._num_admissions += 1
            sequence.admission = self._num_admissions
        self._sequences[id(sequence)] = sequence
        self._tasks.append(Task(handle, admitted))

    def _count_evictions(self, evicted: list[Sequence]) -> None:
        waiting, protected_since = self._waiting(), self._protected_since()
        num_preempted = sum(is_between_rounds(one, waiting, protected_since) for one in evicted)
        self._num_preempted += num_preempted
        self._num_evicted_idle += len(evicted) - num_preempted

    def _evictable(self, *, may_preempt: bool) -> list[Sequence]:
        """Sequences that may lose their blocks, in order."""
        running = {id(task.sequence) for task in self._tasks}
        idle = [one for key, one in self._sequences.items() if key not in running and one.blocks]
        return eviction_order(idle, self._waiting(), self._protected_since(), may_preempt=may_preempt)

    def _waiting(self) -> set[int]:
        """Sequences that have a work waiting, by their id()."""
        return {id(handle.work.sequence) for handle in self._line}

    def _protected_since(self) -> float:
        return monotonic() - self._rules.protect_seconds

    def _gather(self) -> None:
        """Wait a moment for sessions that are about to come back, so that they share the next pass."""
        while (patience := self._patience_seconds()) > 0:
            with self._inbox.changed:
                if not self._inbox.was_woken:
                    self._inbox.changed.wait(patience)
            if not self._empty_inbox():
                return
            self._drop_abandoned()
            self._admit()

    def _patience_seconds(self) -> float:
        num_here = sum(not task.due().is_background for task in self._tasks)
        if not num_here:
            return 0.0
        here = {id(task.sequence) for task in self._tasks} | self._waiting()
        away = (
            Away(one.idle_since, one.away_seconds)
            for key, one in self._sequences.items()
            if one.is_live and key not in here and one.away_seconds is not None
        )
        return patience_seconds(num_here, away, monotonic(), self._clock.base_seconds)

    def _step(self) -> None:
        """One forward pass over the rows that are due."""
        due = [task.due() for task in self._tasks]
        plan = plan_step(due, self._budget(due))
        running = [(task, task.rows(num)) for task, num in zip(self._tasks, plan, strict=True) if num]
        if not running:
            return
        started_ns = monotonic_ns()
        min_rows = self.info.self_test.min_rows
        batch = self._lay_out([rows for _, rows in running], min_rows, self._runner.block_size)
        logits = self._runner.forward(batch)
        duration_ns = monotonic_ns() - started_ns
        ran = Pass(self._num_steps + 1, batch.num_rows, len(running), started_ns, duration_ns)
        self._note_pass(ran)
        for task, rows, chosen in _chosen(running, logits):
            self._apply(task, rows, chosen, ran)

    def _budget(self, due: list[Due]) -> RowBudget:
        """Return what the next pass may hold."""
        now, running = monotonic(), {id(task.sequence) for task in self._tasks}
        may_decode_soon = any(
            one.is_live and id(one) not in running and now - one.idle_since < self._rules.protect_seconds
            for one in self._sequences.values()
        )
        return self._stall_bound.budget(due, self._clock, may_decode_soon=may_decode_soon)

    def _note_pass(self, ran: Pass) -> None:
        self._clock.note(ran.batch_rows, ran.duration_ns / 1e9)
        self._latest_passes_ns.append(ran.duration_ns)
        self._longest_step_ns = max(self._latest_passes_ns)
        self._num_steps = ran.step
        if self._watch is not None:
            self._watch(ran)

    def _apply(self, task: Task, rows: Rows, chosen: ChosenRows, step: Pass) -> None:
        """A selector that fails ends its own work and no other."""
        try:
            task.apply(rows, chosen, step)
        except Exception as error:
            self._tasks.remove(task)
            self._has_room_changed = True
            task.fail(error)

    def _hand_out(self) -> None:
        done = [task for task in self._tasks if not task.num_pending]
        # Not asked again: `finish` may be called at any moment.
        self._tasks = [task for task in self._tasks if task not in done]
        self._has_room_changed |= bool(done)
        for task in done:
            self._drop_unusable(task.sequence)
            task.resolve()

    def _drop_unusable(self, sequence: Sequence) -> None:
        """Give back the blocks that no later work may use."""
        if self._cache_update == "rebuild":
            sequence.evict()
        elif self._cache_update == "partial":
            sequence.truncate(sequence.num_computed // self._pool.block_size * self._pool.block_size)


def _chosen(running: list[tuple[Task, Rows]], logits: PassLogits) -> Iterator[tuple[Task, Rows, ChosenRows]]:
    """Give each task its rows of a pass, and the ids that the device has chosen for them already."""
    ids: list[int | None] = [None] * sum(rows.num_logits for _, rows in running)
    if isinstance(logits, DeviceLogits):
        ids = logits.choose_ids([choice for task, rows in running for choice in task.row_choices(rows)])
    first = 0
    for task, rows in running:
        own = slice(first, first + rows.num_logits)
        yield task, rows, ChosenRows(logits, own, ids[own])
        first = own.stop


def load_runner(config: EngineConfig) -> tuple[ModelRunner, EngineInfo]:
    """Build, compile and self-test a model; takes seconds. One engine at a time may have the runner.

    Raises:
        UnsupportedModelError: The directory holds no model that can be built.
        ConfigError: The device does not compute in these precisions, or the engine is not installed.
        BlocksExhaustedError: `kv_cache_bytes` is too small to be of use.
        SelfTestError: Logits are not finite, or not batch-invariant where that is required.
    """
    loaded = load_backend(config)
    runner, precision = loaded.runner, loaded.precision
    with ExitStack() as unless_it_serves:
        unless_it_serves.callback(close_runner, runner)
        report = _tested(loaded, config)
        if config.batch_invariant == "require":
            _require_invariance(report, loaded)
        unless_it_serves.pop_all()
    capacity = (runner.num_blocks - 1) * runner.block_size
    info = EngineInfo(
        name=loaded.name,
        family=loaded.family,
        weights=loaded.weights,
        compute_precision=precision.compute,
        kv_precision=precision.kv,
        device=loaded.device,
        vocabulary_size=loaded.vocabulary_size,
        max_context_tokens=min(config.max_context_tokens or capacity, loaded.max_context_tokens, capacity),
        kv_bytes_per_token=runner.kv_bytes_per_token,
        kv_capacity_tokens=capacity,
        self_test=report,
        numerics_digest=report.numerics_digest,
    )
    return runner, info


def _tested(loaded: LoadedRunner, config: EngineConfig) -> SelfTestReport:
    """Test what is loaded, as far as it is not known from an earlier start."""
    if config.batch_invariant == "off":
        return check_finite(loaded.runner, loaded.vocabulary_size)
    if not loaded.may_keep_record:
        return run_self_test(loaded.runner, loaded.vocabulary_size)
    record = SelfTestRecord(config.model_directory, loaded.kernel_settings)
    known = record.read() if config.self_test == "remembered" else None
    if known is not None and not known.batch_invariant and config.batch_invariant == "require":
        known = None  # nothing is refused from memory
    report = run_self_test(loaded.runner, loaded.vocabulary_size, known)
    if known is None or known.numerics_digest != report.numerics_digest:
        record.write(report)
    return report


def _require_invariance(report: SelfTestReport, loaded: LoadedRunner) -> None:
    if report.batch_invariant:
        return
    precision = loaded.precision
    checks = ", ".join(report.failed_checks)
    other = 'kv_precision "auto"' if precision.kv in QUANTISED_KV else "another precision"
    message = (
        f"Logits on {loaded.device} in {precision.compute} with {precision.kv} KV depend on the batch (failed: "
        f'{checks}). Choose {other}, or batch_invariant "prefer" or "off" to serve without the promise of exactness.'
    )
    raise SelfTestError(message, check=checks)


def _stopped() -> EngineStoppedError:
    return EngineStoppedError("The replica is shutting down; go on with another one.")
