"""`make bench`: the reference pair side by side with what else could be used, from what a client sees.

`python -m benchmarks.suite --help` has the options, docs/benchmarks.md how it measures and how to read the results.
"""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from benchmarks.comparison.cell import Cell
from benchmarks.comparison.journal import Journal
from benchmarks.comparison.load_plan import Amount
from benchmarks.comparison.measurement import Measurement, num_tokens_of
from benchmarks.comparison.models import ModelPlan, PromptIds, export
from benchmarks.comparison.options import Plan, read_plan
from benchmarks.comparison.plots import draw_all
from benchmarks.comparison.report import Report, verdict_table
from benchmarks.comparison.summary import CellSummary
from benchmarks.comparison.system import System
from benchmarks.comparison.trial import MeasuredCell
from benchmarks.comparison.workers import Workers
from benchmarks.network.namespaces import refusal
from paceline.cli.benchmark.machine import this_machine, versions
from paceline.errors import PacelineError
from paceline.local.core_assignment import Cores
from paceline.local.stop_signals import StoppedError, stop_signals

PEER_PACKAGES = ("openvino-genai", "transformers", "torch")
FAILURE_EXIT_CODE = 1
JOURNAL, JSON_FILE, MARKDOWN_FILE = "cells.jsonl", "results.json", "results.md"


class Suite:
    """One run."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self._journal = Journal(plan.output / JOURNAL)
        self._skipped: list[str] = []

    async def run(self) -> Report:
        """Measure what is not measured yet, write everything down after each cell, and return it."""
        finished = dict(self._journal.start(is_resumed=self._plan.is_resumed))
        cells = self._measurable()
        with stop_signals(hurry=lambda: os._exit(FAILURE_EXIT_CODE)):
            waiting = [cell for cell in cells if self._key(cell) not in finished]
            if waiting:
                await self._export(waiting)
                await self._measure(waiting, finished)
        return self._write(finished)

    def _measurable(self) -> list[Cell]:
        """The plan's cells, without those for which this machine has no network namespaces."""
        why = refusal() if any(cell.round_trips for cell in self._plan.cells) else None
        if why is None:
            return list(self._plan.cells)
        self._skipped = [f"{cell.title}: {why}" for cell in self._plan.cells if cell.round_trips]
        for line in self._skipped:
            self._console.print(f"skipped: {line}", markup=False)
        return [cell for cell in self._plan.cells if cell.round_trips is None]

    async def _export(self, cells: Sequence[Cell]) -> None:
        systems: set[System] = {system for cell in cells for system in cell.systems}
        for model, weights in self._plan.models.missing(systems):
            with self._console.status(f"{model} {weights} for the peers: exporting it, once (minutes)"):
                await asyncio.to_thread(export, model, weights)

    async def _measure(self, cells: Sequence[Cell], finished: dict[str, MeasuredCell]) -> None:
        amount = self._plan.amount
        target, _ = self._plan.models.models_of(System("ours", "target"))
        columns = (
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        total = sum(num_tokens_of(cell, amount) for cell in cells)
        with Progress(TextColumn("{task.description}"), *columns, console=self._console) as bars:
            task = bars.add_task("", total=total)
            ahead = 0

            def progress(what: str, num_tokens: int) -> None:
                nonlocal ahead
                bars.update(task, description=what, advance=ahead)
                ahead = num_tokens

            async with Workers(Cores(os.sched_getaffinity(0))) as workers:
                measurement = Measurement(
                    workers, self._plan.models, PromptIds(target.directory), amount, progress
                )
                for cell in _in_order(cells):
                    measured = await measurement.measure(cell, self._key(cell))
                    self._journal.add(measured)
                    finished[measured.key] = measured
                    self._tell(CellSummary(cell, measured))
                    self._write(finished)
            progress("done", 0)

    def _tell(self, one: CellSummary) -> None:
        """One line a system, as soon as its cell is finished."""
        self._console.print(f"{one.cell.title}; cores {one.cell.cores}", markup=False, style="bold")
        if one.measured.measured_round_trips_ms is not None:
            target, draft = one.measured.measured_round_trips_ms
            self._console.print(f"  probe: {target:.2f} ms to target, {draft:.2f} ms to draft", markup=False)
        base = one.systems[0]
        for system in one.systems:
            rate, ratio = one.summary(system).tokens_per_second, one.ratio(system, base)
            if rate and ratio:
                times = f"x {ratio.median:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"
                self._console.print(f"  {system.title:<32} {rate.median:6.1f} tok/s  {times}", markup=False)
        for line in one.measured.skipped:
            self._console.print(f"  left out: {line}", markup=False)

    def _write(self, finished: Mapping[str, MeasuredCell]) -> Report:
        plan = self._plan
        cells = [
            CellSummary(cell, finished[key]) for cell in plan.cells if (key := self._key(cell)) in finished
        ]
        left_out = [f"{one.cell.title}: {why}" for one in cells for why in one.measured.skipped]
        report = Report(
            " ".join(["python -m benchmarks.suite", *sys.argv[1:]]),
            this_machine(),
            versions() | _peer_versions(),
            plan.models,
            plan.amount,
            cells,
            [*self._skipped, *left_out],
        )
        report = replace(report, plots=_plots(cells, plan.output))
        (plan.output / JSON_FILE).write_text(report.to_json(), encoding="utf-8")
        (plan.output / MARKDOWN_FILE).write_text(report.to_markdown(), encoding="utf-8")
        return report

    def _key(self, cell: Cell) -> str:
        return journal_key(cell, self._plan.models, self._plan.amount)


def journal_key(cell: Cell, models: ModelPlan, amount: Amount) -> str:
    """Return what names a cell in the journal: whatever would make it another measurement is in it."""
    return " | ".join((cell.key, ",".join(one.key for one in cell.systems), str(models), str(amount)))


def _in_order(cells: Sequence[Cell]) -> list[Cell]:
    """Cells that share processes one after the other."""
    return sorted(cells, key=lambda cell: (cell.round_trips is not None, cell.cores, cell.num_sessions > 1))


def _peer_versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in PEER_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _plots(cells: Sequence[CellSummary], directory: Path) -> list[str]:
    try:
        return draw_all(cells, directory)
    except ImportError:  # the numbers are there without pictures too
        return []


def main() -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        plan = read_plan(None)
        report = asyncio.run(Suite(plan, console).run())
    except StoppedError as error:
        console.print(f"{error}; --resume goes on from the last finished cell", markup=False)
        sys.exit(error.exit_code)
    except PacelineError as error:
        console.print(f"error: {error}", markup=False)
        sys.exit(FAILURE_EXIT_CODE)
    print(verdict_table(report.verdicts))
    print(f"\nresults: {plan.output / MARKDOWN_FILE}")
    if report.differing:
        print(
            f"error: ours gave OTHER ids than its target alone: {'; '.join(report.differing)}",
            file=sys.stderr,
        )
        sys.exit(FAILURE_EXIT_CODE)


if __name__ == "__main__":
    main()
