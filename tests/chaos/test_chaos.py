"""The chaos suite's own proof that it runs, and a short part of it; `make chaos` is the long one."""

from pathlib import Path

import pytest

from tests.chaos.cluster import ClusterSettings
from tests.chaos.fault import KINDS
from tests.chaos.run import RunSettings, run

SHORT = RunSettings(
    seed=7, num_faults=10, num_clients=8, num_jobs=8, cluster=ClusterSettings(session_idle_seconds=4.0)
)


@pytest.mark.timeout(300)
async def test_a_few_faults_change_no_text_and_leave_nothing_behind(short_directory: Path) -> None:
    report = await run(SHORT, short_directory)
    text = "\n".join(report.lines())
    print(text)
    assert not report.wrong, text
    assert report.faults.total() == SHORT.num_faults
    assert report.record.num_finished >= SHORT.num_clients


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2))
async def test_every_kind_of_fault_changes_no_text(seed: int, short_directory: Path) -> None:
    report = await run(RunSettings(seed, 2 * len(KINDS), num_clients=32), short_directory)
    assert not report.wrong, "\n".join(report.lines())
    assert set(report.faults) == set(KINDS)
