"""`paceline demo`: real text from real models, with and without a draft, and proof that it is the same."""

import asyncio
import json
import sys
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.benchmark.result import acceptance_of
from paceline.cli.benchmark.trial import TARGET_ONLY, Variant, bench_request
from paceline.cli.cluster_lines import ClusterLines
from paceline.cli.cluster_options import AsJson, Cores, ModelOptions, PairName, assign_cores, set_up_models
from paceline.cli.failure import FAILURE_EXIT_CODE
from paceline.cli.generation_view import TextView
from paceline.cli.model_setup import DRAFT_WEIGHTS, TARGET_WEIGHTS
from paceline.cli.status_row import StatusRow
from paceline.cli.token_painter import Marking, has_colour
from paceline.client.completion import Completion, CompletionBuilder
from paceline.client.orchestrator import Orchestrator, connect
from paceline.local.cluster import LocalCluster
from paceline.local.plan import ClusterConfig
from paceline.local.supervisor import run_in_cluster

PROMPTS = (
    BenchPrompt("code", "quicksort", "Write quicksort in C. Only the code."),
    BenchPrompt("prose", "TCP or UDP", "Explain the difference between TCP and UDP in one paragraph."),
    BenchPrompt(
        "japanese", "フィボナッチ", "フィボナッチ数を返すPythonの関数を書いて、日本語で説明してください。"
    ),
)

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    pair: PairName = "reference",
    cores: Cores = None,
    max_tokens: Annotated[int, typer.Option(min=2, help="Most tokens of each answer.")] = 48,
    num_draft_tokens: Annotated[int, typer.Option(min=1, max=64, help="Draft tokens a round.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Start a cluster, answer three prompts with a draft and without, compare the token ids, and stop it all."""
    config = replace(
        set_up_models(ModelOptions(pair, TARGET_WEIGHTS, DRAFT_WEIGHTS)), cores=assign_cores(cores)
    )
    demonstration = _Demo(config, Variant(num_draft_tokens), max_tokens, is_quiet=as_json)
    results = asyncio.run(demonstration.run())
    if as_json:
        print(json.dumps(_to_json(config, results), indent=2, ensure_ascii=False))
    else:
        _print_table(results)
    if not all(result.is_identical for result in results):
        raise typer.Exit(FAILURE_EXIT_CODE)


@dataclass(frozen=True)
class DemoResult:
    """One prompt, answered both ways."""

    prompt: BenchPrompt
    speculative: Completion
    target_only: Completion

    @property
    def is_identical(self) -> bool:
        """Whether both answers have the same token ids."""
        return self.speculative.token_ids == self.target_only.token_ids

    @property
    def speed_up(self) -> float:
        """Tokens a second with a draft by those without, the prompt's time included."""
        return self.speculative.tokens_per_second / self.target_only.tokens_per_second

    @property
    def acceptance(self) -> float:
        """Share of the draft tokens that the target accepted."""
        return acceptance_of([self.speculative.summary.speculation]) or 0.0


class _Demo:
    """One run of the command."""

    def __init__(self, config: ClusterConfig, variant: Variant, max_tokens: int, *, is_quiet: bool) -> None:
        self._config = config
        self._variant = variant
        self._max_tokens = max_tokens
        self._is_quiet = is_quiet
        self._lines = ClusterLines()

    async def run(self) -> list[DemoResult]:
        self._lines.say(f"cores: {self._config.cores.describe() or 'not pinned'}")
        return await run_in_cluster(
            self._config, self._answer_all, self._lines.show_ready, self._lines.show_end
        )

    async def _answer_all(self, cluster: LocalCluster, directory: Path) -> list[DemoResult]:
        async with connect(cluster.address) as orchestrator:
            return [await self._answer(orchestrator, prompt) for prompt in PROMPTS]

    async def _answer(self, orchestrator: Orchestrator, prompt: BenchPrompt) -> DemoResult:
        # The draft's run comes first: the other one then finds the prompt in the cache, so the speed-up is not
        # flattered by that.
        speculative = await self._stream(orchestrator, prompt, self._variant, "with a draft")
        target_only = await self._stream(orchestrator, prompt, TARGET_ONLY, "target alone")
        return DemoResult(prompt, speculative, target_only)

    async def _stream(
        self, orchestrator: Orchestrator, prompt: BenchPrompt, variant: Variant, how: str
    ) -> Completion:
        request = bench_request(prompt, variant, self._max_tokens)
        if self._is_quiet:
            return await orchestrator.complete(request)
        print(f"\n--- {prompt.text} ({how})", flush=True)
        builder = CompletionBuilder()
        with StatusRow(is_shown=sys.stderr.isatty()) as row:
            view = TextView(_marking(variant), row, has_statistics=True)
            async with aclosing(orchestrator.generate(request)) as events:
                async for event in events:
                    builder.add(event)
                    view.show(event)
        return builder.build()


def _marking(variant: Variant) -> Marking:
    is_marked = variant != TARGET_ONLY and has_colour(sys.stdout)
    return Marking.COLOUR if is_marked else Marking.NONE


def _print_table(results: list[DemoResult]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("prompt")
    for heading in ("tokens", "target alone", "with a draft", "speed-up", "accepted", "identical"):
        table.add_column(heading, justify="right")
    for result in results:
        table.add_row(
            result.prompt.name,
            str(len(result.speculative.tokens)),
            f"{result.target_only.tokens_per_second:.1f} tok/s",
            f"{result.speculative.tokens_per_second:.1f} tok/s",
            f"{result.speed_up:.2f} x",
            f"{result.acceptance:.0%}",
            _yes(is_so=result.is_identical),
        )
    Console(highlight=False, width=None if sys.stdout.isatty() else 100).print(table)
    print(_total_line(results))


def _total_line(results: list[DemoResult]) -> str:
    seconds = [sum(one.seconds for one in way) for way in _ways(results)]
    num_tokens = [sum(len(one.tokens) for one in way) for way in _ways(results)]
    alone, drafted = (count / time for count, time in zip(num_tokens, seconds, strict=True))
    is_identical = all(result.is_identical for result in results)
    return (
        f"total: {alone:.1f} tok/s target alone, {drafted:.1f} tok/s with a draft, {drafted / alone:.2f} x; "
        f"identical: {_yes(is_so=is_identical)} ({num_tokens[0]} token ids compared)"
    )


def _ways(results: list[DemoResult]) -> tuple[list[Completion], list[Completion]]:
    return [result.target_only for result in results], [result.speculative for result in results]


def _yes(*, is_so: bool) -> str:
    return "yes" if is_so else "NO"


def _to_json(config: ClusterConfig, results: list[DemoResult]) -> dict[str, object]:
    return {
        "target": config.target.name,
        "draft": config.draft.name,
        "cores": config.cores.describe(),
        "is_identical": all(result.is_identical for result in results),
        "prompts": [
            {
                **asdict(result.prompt),
                "answer": result.speculative.text,
                "num_tokens": len(result.speculative.tokens),
                "target_only_tokens_per_second": result.target_only.tokens_per_second,
                "speculative_tokens_per_second": result.speculative.tokens_per_second,
                "speed_up": result.speed_up,
                "acceptance": result.acceptance,
                "is_identical": result.is_identical,
            }
            for result in results
        ],
    }
