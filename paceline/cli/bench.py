"""`paceline bench`: target-only beside speculative, in one run."""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from paceline.cli.benchmark.machine import this_command, this_machine, versions
from paceline.cli.benchmark.process_usage import usage_of
from paceline.cli.benchmark.prompt_set import BenchPrompt, read_prompts
from paceline.cli.benchmark.report import Report
from paceline.cli.benchmark.result import results_of
from paceline.cli.benchmark.schedule import plan_trials
from paceline.cli.benchmark.spread import spread_of
from paceline.cli.benchmark.trial import (
    ADAPTIVE,
    TARGET_ONLY,
    BenchSampling,
    PlannedTrial,
    Trial,
    Variant,
    bench_request,
    run_trial,
)
from paceline.cli.cluster_lines import ClusterLines
from paceline.cli.cluster_options import (
    AsJson,
    Cores,
    DraftWeights,
    ModelOptions,
    PairName,
    TargetWeights,
    assign_cores,
    set_up_models,
)
from paceline.cli.failure import FAILURE_EXIT_CODE
from paceline.cli.model_setup import DRAFT_WEIGHTS, TARGET_WEIGHTS
from paceline.cli.number_list import parse_num_draft_tokens
from paceline.client.orchestrator import Orchestrator, connect
from paceline.errors import ConfigError
from paceline.local.cluster import LocalCluster
from paceline.local.plan import ClusterConfig
from paceline.local.supervisor import run_in_cluster

FIXED = "fixed"
WARM_UP = Variant(5)  # both pools see the prompts

app = typer.Typer(add_completion=False)


@app.command()
def bench(
    pair: PairName = "reference",
    target: Annotated[str | None, typer.Option(help="Target model, with --draft.")] = None,
    draft: Annotated[str | None, typer.Option(help="Draft model, with --target.")] = None,
    target_weights: TargetWeights = TARGET_WEIGHTS,
    draft_weights: DraftWeights = DRAFT_WEIGHTS,
    cores: Cores = None,
    prompts: Annotated[
        str,
        typer.Option(help="code, prose, chat, summary, japanese, several with commas, all, or a .toml file."),
    ] = "code",
    num_draft_tokens: Annotated[
        str, typer.Option(help="Draft tokens a round; several with commas are compared.")
    ] = "3,5,8",
    speculation: Annotated[
        str,
        typer.Option(help="fixed, adaptive, or both with a comma: what is compared with the target alone."),
    ] = "fixed",
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of every session, where the temperature is above 0.")] = 0,
    max_tokens: Annotated[int, typer.Option(min=2, help="Most tokens of each answer.")] = 96,
    sessions: Annotated[int, typer.Option(min=1, max=256, help="Sessions at once.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="How often each prompt is measured each way.")] = 3,
    as_json: AsJson = False,
    output: Annotated[Path | None, typer.Option(help="Write the JSON here too.", dir_okay=False)] = None,
) -> None:
    """Measure tokens per second of the target alone and with a draft, interleaved, and compare the token ids."""
    plan = BenchPlan(
        read_prompts(prompts),
        _variants(speculation, num_draft_tokens),
        BenchSampling(temperature, seed),
        max_tokens,
        num_sessions=sessions,
        num_repeats=repeats,
    )
    assignment = assign_cores(cores)
    options = ModelOptions(pair, target_weights, draft_weights, target, draft)
    report = asyncio.run(_Bench(replace(set_up_models(options), cores=assignment), plan).run())
    document = json.dumps(report.to_json(), indent=2, ensure_ascii=False)
    if output is not None:
        output.write_text(f"{document}\n", encoding="utf-8")
    if as_json:
        print(document)
    else:
        _print(report)
    if not report.is_identical:
        raise typer.Exit(FAILURE_EXIT_CODE)


@dataclass(frozen=True)
class BenchPlan:
    """What is measured."""

    prompts: Sequence[BenchPrompt]
    variants: Sequence[Variant]
    sampling: BenchSampling
    max_tokens: int
    num_sessions: int
    num_repeats: int


class _Bench:
    """One run of the command."""

    def __init__(self, config: ClusterConfig, plan: BenchPlan) -> None:
        self._config = config
        self._plan = plan
        self._lines = ClusterLines()

    async def run(self) -> Report:
        return await run_in_cluster(self._config, self._measure, self._lines.show_ready, self._lines.show_end)

    async def _measure(self, cluster: LocalCluster, directory: Path) -> Report:
        plan = self._plan
        async with connect(cluster.address) as orchestrator:
            warm_up = await self._warm_up(orchestrator)
            pids = {child.name: child.pid for child in cluster.children}
            trials = await self._run_trials(orchestrator, pids)
            return Report(
                this_command(),
                this_machine(),
                versions(),
                self._config.cores.describe(),
                await orchestrator.served_models(),
                plan.max_tokens,
                plan.num_sessions,
                plan.num_repeats,
                spread_of(warm_up),
                results_of(trials),
                plan.sampling,
                {name: usage.peak_memory_bytes for name, usage in usage_of(pids).items()},
            )

    async def _warm_up(self, orchestrator: Orchestrator) -> list[float]:
        """Bring every prompt into the caches of both pools, so that no variant pays for being the first.

        Returns the seconds until the first token of each prompt.
        """
        requests = [
            bench_request(prompt, WARM_UP, max_tokens=2, sampling=self._plan.sampling)
            for prompt in self._plan.prompts
        ]
        completions = [await orchestrator.complete(request) for request in requests]
        return [one.time_to_first_token_seconds for one in completions]

    async def _run_trials(self, orchestrator: Orchestrator, pids: Mapping[str, int]) -> list[Trial]:
        plan = self._plan
        planned = list(plan_trials(plan.prompts, plan.variants, plan.num_repeats, plan.num_sessions))
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
            task = bars.add_task("measuring", total=len(planned))
            trials: list[Trial] = []
            for one in planned:
                bars.update(task, description=_describe(one))
                trials.append(await run_trial(orchestrator, one, plan.max_tokens, plan.sampling, pids))
                bars.advance(task)
            return trials


def _variants(speculation: str, numbers: str) -> list[Variant]:
    modes = speculation.split(",")
    if not set(modes) <= {FIXED, ADAPTIVE.name}:
        message = f"--speculation {speculation}: write {FIXED}, {ADAPTIVE.name} or both with a comma"
        raise ConfigError(message, setting="speculation")
    fixed = [Variant(number) for number in parse_num_draft_tokens(numbers)] if FIXED in modes else []
    return [TARGET_ONLY, *fixed, *([ADAPTIVE] if ADAPTIVE.name in modes else [])]


def _describe(plan: PlannedTrial) -> str:
    return f"{plan.prompts[0].kind} {plan.prompts[0].name}, {plan.variant.name}"


def _print(report: Report) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for line in report.header_lines():
        console.print(line, markup=False, soft_wrap=True)
    console.print(report.table())
    for line in report.footer_lines():
        console.print(line, markup=False, soft_wrap=True)
