"""The rules, judged by Prometheus' own tool."""

import shutil
import subprocess
from pathlib import Path

import pytest

MONITORING = Path(__file__).resolve().parent.parent.parent / "monitoring"
TEST_FILES = sorted((MONITORING / "rules/tests").glob("*.yaml"))


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool on PATH; it comes with Prometheus")
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_the_scrape_configuration_and_the_rules_that_it_loads_are_valid() -> None:
    done = promtool("check", "config", MONITORING / "prometheus.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


@pytest.mark.parametrize("name", ["recording.yaml", "alerts.yaml"])
def test_rules_are_valid_and_none_is_there_twice(name: str) -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", MONITORING / "rules" / name)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(path: Path) -> None:
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr
