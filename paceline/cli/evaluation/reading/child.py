"""A process of its own for what is done with one model: its memory is the model's alone, and nothing of it stays."""

import os
import signal
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple, TypeAlias, TypeVar

from paceline.cli.evaluation.reading.errors import ReadingFailedError
from paceline.cli.evaluation.reading.plan import Progress
from paceline.errors import PacelineError
from paceline.local.core_assignment import Cores
from paceline.local.stop_signals import STOPPING, StoppedError
from paceline.serving.lifeline import tie_to_parent

T = TypeVar("T")
# Works in the child, and tells how far it is.
ChildTask: TypeAlias = Callable[[Progress], T]

# A child that closed its end of the pipe is about to end.
_DYING_SECONDS = 10.0


def run_in_child(task: ChildTask[T], cores: Cores | None, progress: Progress) -> T:
    """Return what a task returns in a new process on these cores; None leaves them to the system.

    The task is pickled, so that it is a function of a module, or a partial of one. It is unpickled after the process
    was pinned: OpenVINO sizes its threads by the cores that it finds when it is imported. The process is gone when this
    returns, and it dies when we do.

    Raises the PacelineError that the task raised, StoppedError where a stop signal ended the process, and
    ReadingFailedError where it died otherwise or the task failed in another way.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, cores, os.getpid()))
    process.start()
    try:
        theirs.close()
        return _answer_to(task, ours, process, progress)
    finally:
        ours.close()
        process.kill()  # whatever it would still do, nobody waits for it
        process.join()
        process.close()


class _Step(NamedTuple):
    """How far the task is."""

    step: str
    num_done: int
    num_total: int


@dataclass(frozen=True)
class _Returned:
    value: Any


@dataclass(frozen=True)
class _Raised:
    """A PacelineError in parts: errors whose constructors take other arguments than a message do not unpickle."""

    kind: type[PacelineError]
    arguments: tuple[Any, ...]
    attributes: dict[str, Any]

    def error(self) -> PacelineError:
        error = self.kind.__new__(self.kind, *self.arguments)
        error.__dict__.update(self.attributes)
        return error


@dataclass(frozen=True)
class _Failed:
    """Any other exception, and where it came from."""

    detail: str
    trace: str


def _serve(connection: Connection, cores: Cores | None, parent_pid: int) -> None:
    """Be the child: take the task from the pipe, and answer."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)  # Ctrl-C reaches us too; we end at once and without a traceback
    tie_to_parent(parent_pid)
    if cores is not None:
        os.sched_setaffinity(0, cores)

    def report(step: str, num_done: int, num_total: int) -> None:
        connection.send(_Step(step, num_done, num_total))

    answer: _Returned | _Raised | _Failed
    try:
        task = connection.recv()
        answer = _Returned(task(report))
    except PacelineError as error:
        answer = _Raised(type(error), error.args, vars(error))
    except Exception as error:  # what OpenVINO raises where it cannot compile, or a defect of ours
        answer = _Failed(f"{type(error).__name__}: {error}", traceback.format_exc())
    connection.send(answer)


def _answer_to(task: ChildTask[T], connection: Connection, process: BaseProcess, progress: Progress) -> T:
    with _death_explained(process):
        connection.send(task)
    while isinstance(message := _received(connection, process), _Step):
        progress(*message)
    if isinstance(message, _Returned):
        return message.value
    if isinstance(message, _Raised):
        raise message.error()
    assert isinstance(message, _Failed)
    raise ReadingFailedError(message.detail) from RuntimeError(message.trace)


def _received(connection: Connection, process: BaseProcess) -> Any:
    with _death_explained(process):
        return connection.recv()


@contextmanager
def _death_explained(process: BaseProcess) -> Generator[None]:
    """Turn a broken pipe into what became of the process at its other end."""
    try:
        yield
    except (EOFError, OSError):
        raise _death_of(process) from None


def _death_of(process: BaseProcess) -> PacelineError:
    process.join(_DYING_SECONDS)
    code = process.exitcode
    if code is None or code >= 0:
        return ReadingFailedError(f"its process ended without an answer (exit code {code})")
    number = signal.Signals(-code)
    if number in STOPPING:
        return StoppedError(number)
    hint = ", as the system does where memory runs out" if number is signal.SIGKILL else ""
    return ReadingFailedError(f"its process was ended by {number.name}{hint}")
