"""What a cluster costs and brings at sizes that this machine cannot run: real control plane, timed models.

Run it from the repository: `python -m benchmarks.simulate --help`. The orchestrators and Redis are the real programs,
and so is everything of the model services but the forward pass, which only takes its time; see docs/simulation.md.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.simulation.cross_check import CrossCheck, CrossCheckReport
from benchmarks.simulation.experiment import PointResult, num_loads, run_point
from benchmarks.simulation.report import Report
from benchmarks.simulation.run_options import RunOptions
from benchmarks.simulation.settings import ADAPTIVE, OFF, Settings
from benchmarks.simulation.step_time import StepTime
from benchmarks.simulation.sweep import SweepPoint, sweep_points
from paceline.cli.benchmark.machine import this_machine, versions
from paceline.cli.cluster_options import assign_cores
from paceline.cli.failure import INTERRUPTED_EXIT_CODE, failures_explained
from paceline.errors import ConfigError
from paceline.local.core_assignment import CoreAssignment
from paceline.local.owned_directory import make_owned_directory
from paceline.local.stop_signals import StoppedError, stop_signals

T = TypeVar("T")

TABLE_WIDTH = 260

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def simulate(
    targets: Annotated[int, typer.Option(help="Target replicas.")] = 1,
    drafts: Annotated[int, typer.Option(help="Draft replicas.")] = 1,
    sessions: Annotated[int, typer.Option(help="Generations at once.")] = 1,
    acceptance: Annotated[float, typer.Option(help="Probability that a draft token is accepted.")] = 0.7,
    second_chance: Annotated[
        float,
        typer.Option(help="Probability that the draft's second choice is right where the first is not."),
    ] = 0.5,
    num_draft_tokens: Annotated[str, typer.Option(help="Draft tokens a round, adaptive or off.")] = "5",
    rtt_ms: Annotated[float, typer.Option(help="Emulated round trip to the targets.")] = 0.0,
    draft_rtt_ms: Annotated[float, typer.Option(help="Emulated round trip to the drafts.")] = 0.0,
    target_ms: Annotated[float, typer.Option(help="A target's pass without any row.")] = 40.0,
    target_row_ms: Annotated[float, typer.Option(help="What a row adds to it.")] = 1.0,
    target_steps: Annotated[str | None, typer.Option(help="Instead: ROWS=MS,ROWS=MS.")] = None,
    draft_ms: Annotated[float, typer.Option(help="A draft's pass without any row.")] = 10.0,
    draft_row_ms: Annotated[float, typer.Option(help="What a row adds to it.")] = 0.5,
    draft_steps: Annotated[str | None, typer.Option(help="Instead: ROWS=MS,ROWS=MS.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens of each generation.")] = 128,
    max_rows: Annotated[int, typer.Option(help="Most rows of a pass.")] = 64,
    prompt_tokens: Annotated[int, typer.Option(help="Mean length of prompts.")] = 64,
    orchestrators: Annotated[int, typer.Option(help="Orchestrator processes.")] = 1,
    dilation: Annotated[
        float, typer.Option(help="Real seconds a simulated second takes; more fits into a slow machine then.")
    ] = 1.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="Real seconds that each load counts.")] = 5.0,
    warm_up_seconds: Annotated[float, typer.Option(min=0, help="Real seconds before that.")] = 1.0,
    patience_seconds: Annotated[
        float,
        typer.Option(min=0, help="Real seconds that all sessions have to get going, after the last start."),
    ] = 60.0,
    starts_per_second: Annotated[
        float, typer.Option(min=0.1, help="Sessions that start in a real second.")
    ] = 100.0,
    repeats: Annotated[int, typer.Option(min=1, help="How often each load runs.")] = 1,
    sweep: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE,VALUE, as in rtt=0,5,15; several are combined.", show_default=False),
    ] = None,
    replica_processes: Annotated[int, typer.Option(min=1, help="Processes that hold replicas.")] = 2,
    client_processes: Annotated[int, typer.Option(min=1, help="Processes that hold clients.")] = 1,
    orchestrator_option: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VALUE for `python -m orchestrator`, as in max-sessions=256.", show_default=False
        ),
    ] = None,
    cores: Annotated[str | None, typer.Option(help="As draft=0,target=1; unset pins nothing.")] = None,
    cross_check: Annotated[bool, typer.Option(help="Compare with a real cluster of the pair twin.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    output: Annotated[Path | None, typer.Option(help="Write the JSON here too.", dir_okay=False)] = None,
) -> None:
    """Simulate a cluster with timed models, and print what it brings and what its control plane costs."""
    with failures_explained():
        settings = Settings(
            targets=targets,
            drafts=drafts,
            sessions=sessions,
            acceptance=acceptance,
            second_chance=second_chance,
            num_draft_tokens=_draft_length(num_draft_tokens),
            rtt_ms=rtt_ms,
            draft_rtt_ms=draft_rtt_ms,
            target_steps=_step_time(target_steps, target_ms, target_row_ms),
            draft_steps=_step_time(draft_steps, draft_ms, draft_row_ms),
            max_rows=max_rows,
            max_tokens=max_tokens,
            prompt_tokens=prompt_tokens,
            orchestrators=orchestrators,
            dilation=dilation,
        )
        options = RunOptions(
            seconds=seconds,
            warm_up_seconds=warm_up_seconds,
            patience_seconds=patience_seconds,
            starts_per_second=starts_per_second,
            num_repeats=repeats,
            num_replica_processes=replica_processes,
            num_client_processes=client_processes,
            orchestrator_options=_named(orchestrator_option or []),
            cores=CoreAssignment() if cores is None else assign_cores(cores),
        )
        if cross_check:
            report = asyncio.run(_in_directory(lambda directory: _check(settings, options, directory)))
        else:
            points = sweep_points(settings, sweep or [])
            results = asyncio.run(_in_directory(lambda directory: _run(points, options, directory)))
            report = Report(_command(), this_machine(), versions(), settings, options, results)
        _show(report, as_json=as_json, output=output)


async def _in_directory(work: Callable[[Path], Awaitable[T]]) -> T:
    """Do the work in a directory that stays for a look at the logs if it fails.

    A stop signal ends the work in order, a second one ends us at once, and then the system ends what we have started.
    """
    directory = make_owned_directory(Path(tempfile.gettempdir()), "paceline-simulate-")
    try:
        with stop_signals(hurry=lambda: os._exit(INTERRUPTED_EXIT_CODE)):
            result = await work(directory)
    except StoppedError:
        shutil.rmtree(directory)
        raise
    shutil.rmtree(directory)
    return result


async def _run(points: Sequence[SweepPoint], options: RunOptions, directory: Path) -> list[PointResult]:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    results: list[PointResult] = []
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        task = bars.add_task("starting", total=sum(num_loads(point.settings, options) for point in points))
        for number, point in enumerate(points):
            about = ", ".join(f"{name} {value}" for name, value in point.values.items())
            bars.update(task, description=f"{about}: starting")

            def show(name: str, about: str = about) -> None:
                bars.update(task, description=f"{about} {name}")
                bars.advance(task)

            results.append(await run_point(point, options, directory / str(number), show))
    return results


async def _check(settings: Settings, options: RunOptions, directory: Path) -> CrossCheckReport:
    console = Console(stderr=True, highlight=False)
    check = CrossCheck(settings, options, directory, lambda line: console.print(line, markup=False))
    return await check.run(_command(), this_machine(), versions())


def _show(report: Report | CrossCheckReport, *, as_json: bool, output: Path | None) -> None:
    document = json.dumps(report.to_json(), indent=2)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(f"{document}\n", encoding="utf-8")
    if as_json:
        print(document)
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else TABLE_WIDTH)
    for line in report.header_lines():
        console.print(line, markup=False, soft_wrap=True)
    console.print(report.table())
    for line in report.footer_lines():
        console.print(line, markup=False, soft_wrap=True)


def _draft_length(text: str) -> int | str:
    if text in {OFF, ADAPTIVE}:
        return text
    if not text.isdecimal():
        raise ConfigError(
            f"--num-draft-tokens {text}: write 1 to 64, adaptive or off", setting="num_draft_tokens"
        )
    return int(text)


def _step_time(points: str | None, base_ms: float, row_ms: float) -> StepTime:
    return StepTime.line(base_ms, row_ms) if points is None else StepTime.parse(points)


def _named(options: Sequence[str]) -> dict[str, str]:
    pairs = [option.partition("=") for option in options]
    if wrong := [name + separator for name, separator, _ in pairs if not (name and separator)]:
        raise ConfigError(
            f"--orchestrator-option {wrong[0]}: write NAME=VALUE", setting="orchestrator_option"
        )
    return {name.removeprefix("--"): value for name, _, value in pairs}


def _command() -> str:
    return " ".join(["python", "-m", "benchmarks.simulate", *sys.argv[1:]])


if __name__ == "__main__":
    app()
