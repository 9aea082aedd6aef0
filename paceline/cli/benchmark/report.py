"""A benchmark as a table for people and as JSON for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rich import box
from rich.table import Table

from paceline.cli.benchmark.machine import Machine
from paceline.cli.benchmark.result import VariantResult
from paceline.cli.benchmark.spread import Spread
from paceline.cli.benchmark.trial import BenchSampling
from paceline.client.served_model import ServedModel, ServedModels

NOTHING = "-"
MIB = 1 << 20


@dataclass(frozen=True)
class Report:
    """Everything that a benchmark has to tell."""

    command: str
    machine: Machine
    versions: dict[str, str]
    cores: str
    models: ServedModels
    max_tokens: int
    num_sessions: int
    num_repeats: int
    cold_time_to_first_token_seconds: Spread | None
    results: Sequence[VariantResult]
    sampling: BenchSampling
    peak_memory_bytes: Mapping[str, int]

    @property
    def is_identical(self) -> bool:
        """Whether every completion of every variant had the target's own ids."""
        return all(result.is_identical for result in self.results)

    def to_json(self) -> dict[str, object]:
        """Return the report for `json.dumps`; times in seconds, rates in tokens a second."""
        return {**asdict(self), "is_identical": self.is_identical}

    def header_lines(self) -> list[str]:
        """Return what was measured, and on what."""
        machine = self.machine
        return [
            f"command   {self.command}",
            (
                f"machine   {machine.cpu}, {machine.num_usable_cores} of {machine.num_cores} cores usable, "
                f"{machine.memory_gib} GiB, Linux {machine.kernel}"
            ),
            f"versions  {', '.join(f'{name} {number}' for name, number in self.versions.items())}",
            f"target    {_describe(self.models.target)}, {_describe_invariance(self.models.target)}",
            f"draft     {_describe(self.models.draft) if self.models.draft else 'none'}",
            f"cores     {self.cores or 'not pinned'}",
            (
                f"each      {self.max_tokens} tokens at most, {self.num_sessions} at once, "
                f"{self.num_repeats} repeats, prompts warm in both caches, {_describe_sampling(self.sampling)}"
            ),
        ]

    def table(self) -> Table:
        """Return one row for each kind of prompt and variant."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("prompts")
        table.add_column("variant", no_wrap=True)
        for heading in (
            "tok/s",
            "speed-up",
            "after 1st",
            "accepted",
            "a round",
            "1st token",
            "ms/tok p50 p99",
            "CPU s/tok",
            "identical",
        ):
            table.add_column(heading, justify="right", no_wrap=True)
        for result in self.results:
            table.add_row(*_row(result))
        return table

    def footer_lines(self) -> list[str]:
        """Return how to read the table, and whether all ids were the same."""
        num_tokens = sum(result.num_tokens_compared for result in self.results)
        lines = [
            (
                "median (quartiles); tok/s: from request to last token; after 1st: speed-up once the first is here; "
                "a round: tokens that a round with a draft brings"
            ),
            f"identical: {'yes' if self.is_identical else 'NO'} ({num_tokens} token ids compared)",
        ]
        if self.peak_memory_bytes:
            sizes = (f"{name} {size / MIB:.0f} MiB" for name, size in self.peak_memory_bytes.items())
            lines.append(f"most memory held, mapped weights included: {', '.join(sizes)}")
        if self.cold_time_to_first_token_seconds is not None:
            seconds = self.cold_time_to_first_token_seconds.median
            lines.insert(1, f"first token of a prompt that no cache holds: {seconds:.2f} s (median)")
        return lines


def _row(result: VariantResult) -> list[str]:
    first = result.time_to_first_token_seconds
    return [
        result.kind,
        result.variant.name,
        _spread(result.tokens_per_second, ".1f"),
        _spread(result.speed_up, ".2f"),
        f"{result.decode_speed_up.median:.2f}" if result.decode_speed_up else NOTHING,
        f"{result.acceptance:.0%}" if result.acceptance is not None else NOTHING,
        f"{result.mean_accepted_length:.2f}" if result.mean_accepted_length is not None else NOTHING,
        f"{first.median:.2f} s" if first else NOTHING,
        " ".join(_milliseconds(one) for one in (result.token_seconds_p50, result.token_seconds_p99)),
        NOTHING if result.cpu_seconds_per_token is None else f"{result.cpu_seconds_per_token:.3f}",
        f"{result.num_identical}/{result.num_completions}",
    ]


def _spread(spread: Spread | None, digits: str) -> str:
    if spread is None:
        return NOTHING
    return f"{spread.median:{digits}} ({spread.low:{digits}}-{spread.high:{digits}})"


def _milliseconds(seconds: float | None) -> str:
    return NOTHING if seconds is None else f"{seconds * 1000:.0f}"


def _describe_sampling(sampling: BenchSampling) -> str:
    return f"T = {sampling.temperature:g}, seed {sampling.seed}" if sampling.temperature else "greedy"


def _describe(model: ServedModel) -> str:
    precision = f"{model.compute_precision}/{model.kv_precision} on {model.device}"
    return f"{model.name} {model.weights}, {precision}"


def _describe_invariance(target: ServedModel) -> str:
    return "batch-invariant" if target.is_batch_invariant else "NOT batch-invariant"
