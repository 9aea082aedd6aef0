"""Processes for one model each: what they answer, how they end, and that nothing of them stays."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import pytest

from paceline.cli.evaluation.reading.child import run_in_child
from paceline.cli.evaluation.reading.errors import ReadingFailedError
from paceline.cli.evaluation.reading.plan import ignore_progress
from paceline.errors import PacelineError
from paceline.local.stop_signals import StoppedError
from paceline.models.prepared import NotPreparedError
from tests.paceline.cli.evaluation.reading import child_tasks
from tests.paceline.cli.evaluation.reading.plans import Steps
from tests.process_state import is_running, is_there

ROOT = Path(__file__).resolve().parents[5]
PATIENCE_SECONDS = 30


def test_an_answer_and_reports_come_from_another_process_that_is_gone_then() -> None:
    steps = Steps()
    pid = run_in_child(child_tasks.count, None, steps)
    assert pid != os.getpid()
    assert steps.reports == [("counting", number, 3) for number in (1, 2, 3)]
    assert not is_there(pid)


def test_it_is_pinned_and_we_are_not() -> None:
    before = os.sched_getaffinity(0)
    one = frozenset({min(before)})
    assert run_in_child(child_tasks.cores, one, ignore_progress) == one
    assert os.sched_getaffinity(0) == before


def test_an_error_arrives_as_it_was_whatever_its_constructor_takes() -> None:
    with pytest.raises(NotPreparedError, match="paceline models prepare some-model") as caught:
        run_in_child(child_tasks.lack_a_model, None, ignore_progress)
    assert caught.value.facts == {"source": "some-model", "weights": "int8"}
    assert str(caught.value) == caught.value.message
    with pytest.raises(PacelineError, match=r"^no$") as caught_plain:
        run_in_child(child_tasks.refuse, None, ignore_progress)
    assert caught_plain.value.facts == {"position": 7}


def test_any_other_failure_says_what_it_was_and_keeps_its_trace() -> None:
    with pytest.raises(ReadingFailedError, match="RuntimeError: the plugin is out of luck") as caught:
        run_in_child(child_tasks.fail, None, ignore_progress)
    assert "child_tasks.py" in str(caught.value.__cause__)


def test_an_answer_that_cannot_travel_is_a_failure() -> None:
    with pytest.raises(ReadingFailedError, match="without an answer"):
        run_in_child(child_tasks.answer_what_cannot_travel, None, ignore_progress)


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (partial(child_tasks.die, signal.SIGKILL), "SIGKILL, as the system does where memory runs out"),
        (partial(child_tasks.die, signal.SIGSEGV), "SIGSEGV$"),
        (child_tasks.leave, "exit code 3"),
    ],
    ids=["killed", "crashed", "left"],
)
def test_a_process_that_dies_is_a_failure(task: child_tasks.Task, message: str) -> None:
    with pytest.raises(ReadingFailedError, match=message):
        run_in_child(task, None, ignore_progress)


def test_a_stop_signal_in_the_child_is_none_of_its_failures() -> None:
    with pytest.raises(StoppedError) as caught:
        run_in_child(partial(child_tasks.die, signal.SIGINT), None, ignore_progress)
    assert caught.value.exit_code == 130


def test_it_goes_with_a_report_that_raises(tmp_path: Path) -> None:
    def interrupt(_step: str, _num_done: int, _num_total: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "pid"
    with pytest.raises(KeyboardInterrupt):
        run_in_child(partial(child_tasks.write_down_and_sleep, path), None, interrupt)
    assert not is_there(int(path.read_text()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_it_goes_when_we_do(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    code = f"""
        from functools import partial
        from pathlib import Path
        from paceline.cli.evaluation.reading.child import run_in_child
        from tests.paceline.cli.evaluation.reading.child_tasks import write_down_and_sleep

        if __name__ == "__main__":
            path = Path({str(path)!r})
            run_in_child(partial(write_down_and_sleep, path), None, lambda *step: print(step, flush=True))
    """
    script = tmp_path / "parent.py"
    script.write_text(textwrap.dedent(code))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, script],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline()
        pid = int(path.read_text())
        parent.send_signal(number)  # to it alone; a terminal would send SIGINT to both
        assert parent.wait(PATIENCE_SECONDS) != 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(pid)
