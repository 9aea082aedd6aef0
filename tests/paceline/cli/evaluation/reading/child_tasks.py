"""What children do in tests."""

import os
import signal
import time
from pathlib import Path

from paceline.cli.evaluation.reading.child import ChildTask
from paceline.cli.evaluation.reading.plan import Progress
from paceline.errors import PacelineError
from paceline.models.prepared import NotPreparedError

Task = ChildTask[object]


def count(progress: Progress) -> int:
    for number in range(3):
        progress("counting", number + 1, 3)
    return os.getpid()


def cores(_progress: Progress) -> frozenset[int]:
    return frozenset(os.sched_getaffinity(0))


def lack_a_model(_progress: Progress) -> None:
    raise NotPreparedError("some-model", "int8")


def refuse(_progress: Progress) -> None:
    raise PacelineError("no", position=7)


def fail(_progress: Progress) -> None:
    raise RuntimeError("the plugin is out of luck")


def die(number: signal.Signals, _progress: Progress) -> None:
    os.kill(os.getpid(), number)
    time.sleep(600)


def leave(_progress: Progress) -> None:
    os._exit(3)


def write_down_and_sleep(path: Path, progress: Progress) -> None:
    path.write_text(str(os.getpid()))
    progress("sleeping", 0, 1)
    time.sleep(600)


def answer_what_cannot_travel(_progress: Progress) -> object:
    return lambda: None


def find_no_memory(*_arguments: object) -> None:
    raise RuntimeError("std::bad_alloc")
