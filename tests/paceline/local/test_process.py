"""Children of a supervisor: their end, their logs, and that they never outlive it."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from paceline.local import lifeline
from paceline.local.process import ChildProcess, Command
from tests.process_state import is_running

PYTHON = (sys.executable, "-c")
PATIENCE_SECONDS = 30


def python(code: str, cores: frozenset[int] | None = None) -> Command:
    return Command("child", (*PYTHON, textwrap.dedent(code)), cores)


async def wait_for_line(child: ChildProcess, line: str) -> None:
    while line not in child.last_lines():  # noqa: ASYNC110 - a file tells nobody
        await asyncio.sleep(0.01)


class TestEnd:
    async def test_the_exit_code_and_the_end_of_the_log_are_known(self, tmp_path: Path) -> None:
        code = "import sys; [print(i) for i in range(100)]; sys.exit('out of luck')"
        child = await ChildProcess.start(python(code), tmp_path / "log")
        assert await child.wait() == 1
        assert child.exit_code == 1
        assert child.last_lines(3) == ("98", "99", "out of luck")

    async def test_a_child_that_heeds_sigterm_ends_with_its_own_code(self, tmp_path: Path) -> None:
        code = """
            import signal, sys, time
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
            print("ready", flush=True)
            time.sleep(600)
        """
        child = await ChildProcess.start(python(code), tmp_path / "log")
        await wait_for_line(child, "ready")
        assert await child.stop(grace_seconds=PATIENCE_SECONDS) == 0

    async def test_a_child_that_ignores_sigterm_is_killed_after_the_grace_period(
        self, tmp_path: Path
    ) -> None:
        code = """
            import signal, time
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("ready", flush=True)
            time.sleep(600)
        """
        child = await ChildProcess.start(python(code), tmp_path / "log")
        await wait_for_line(child, "ready")
        assert await child.stop(grace_seconds=0.1) == -signal.SIGKILL
        assert not is_running(child.pid)

    async def test_stopping_a_child_that_has_ended_returns_its_code(self, tmp_path: Path) -> None:
        child = await ChildProcess.start(python("raise SystemExit(7)"), tmp_path / "log")
        await child.wait()
        assert await child.stop(grace_seconds=1) == 7

    async def test_ctrl_c_of_the_terminal_does_not_reach_a_child(self, tmp_path: Path) -> None:
        child = await ChildProcess.start(
            python("import os; print(os.getpgrp() == os.getpid())"), tmp_path / "log"
        )
        await child.wait()
        assert child.last_lines() == ("True",)


class TestCores:
    async def test_a_child_runs_on_its_cores_only(self, tmp_path: Path) -> None:
        core = max(os.sched_getaffinity(0))
        child = await ChildProcess.start(
            python("import os; print(sorted(os.sched_getaffinity(0)))", frozenset({core})), tmp_path / "log"
        )
        await child.wait()
        assert child.last_lines() == (f"[{core}]",)

    async def test_without_cores_a_child_runs_where_its_supervisor_does(self, tmp_path: Path) -> None:
        child = await ChildProcess.start(
            python("import os; print(sorted(os.sched_getaffinity(0)))"), tmp_path / "log"
        )
        await child.wait()
        assert child.last_lines() == (str(sorted(os.sched_getaffinity(0))),)


class TestLifeline:
    def test_a_child_dies_with_a_supervisor_that_is_killed(self, tmp_path: Path) -> None:
        code = f"""
            import asyncio, pathlib, sys
            from paceline.local.process import ChildProcess, Command

            async def main():
                command = Command("child", (sys.executable, "-c", "import time; time.sleep(600)"))
                child = await ChildProcess.start(command, pathlib.Path({str(tmp_path / "log")!r}))
                await asyncio.sleep(0.2)
                print(child.pid, flush=True)
                await child.wait()

            asyncio.run(main())
        """
        supervisor = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
        )
        assert supervisor.stdout is not None
        with supervisor, supervisor.stdout as lines:
            child_pid = int(lines.readline())
            assert is_running(child_pid)
            supervisor.kill()
        wait_until_dead(child_pid)

    def test_a_child_whose_supervisor_has_ended_before_it_began_does_not_run(self, tmp_path: Path) -> None:
        proof = tmp_path / "ran"
        ended_pid = subprocess.Popen([sys.executable, "-c", ""])
        ended_pid.wait()
        runner = (sys.executable, "-I", "-S", lifeline.__file__, str(ended_pid.pid), "any")
        run = subprocess.run([*runner, "touch", str(proof)], capture_output=True, text=True, check=False)
        assert run.returncode == 1
        assert "supervisor has ended" in run.stderr
        assert not proof.exists()


def wait_until_dead(pid: int) -> None:
    """Wait for an end that must come; the test's own timeout says if it does not."""
    while is_running(pid):
        time.sleep(0.01)
