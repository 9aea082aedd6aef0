"""A simulation as a table for people and as JSON for programs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from rich import box
from rich.table import Table

from benchmarks.simulation.experiment import PointResult, middle_outcome
from benchmarks.simulation.outcome import Outcome
from benchmarks.simulation.run_options import RunOptions
from benchmarks.simulation.settings import Settings
from paceline.cli.benchmark.machine import Machine

NOTHING = "-"

# Headings, and how a cell is read from an outcome.
COLUMNS: dict[str, Callable[[Outcome], str]] = {
    "round p50": lambda one: _number(one.round_ms_p50, ".1f"),
    "p99 ms": lambda one: _number(one.round_ms_p99, ".1f"),
    "tok/round": lambda one: _number(one.tokens_per_round, ".2f"),
    "outside ms": lambda one: _number(one.outside_ms, ".2f"),
    "rounds/s": lambda one: _number(one.rounds_per_second, ".0f"),
    "CPU ms/round": lambda one: _number(one.orchestrator_cpu_ms, ".2f"),
    "ms/start": lambda one: _number(one.start_cpu_ms, ".1f"),
    "orch. cores": lambda one: _number(one.orchestrator_cores, ".2f"),
    "orch. MiB": lambda one: _number(one.orchestrator_mib, ".0f"),
    "Redis cmd/s": lambda one: _number(one.redis_commands_per_second, ".0f"),
    "Redis ms/round": lambda one: _number(one.redis_cpu_ms, ".3f"),
    "B/session": lambda one: _number(one.redis_bytes_per_session, ".0f"),
    "open": lambda one: str(one.num_open_sessions),
}


@dataclass(frozen=True)
class Report:
    """Everything that a simulation has to tell."""

    command: str
    machine: Machine
    versions: dict[str, str]
    base: Settings
    options: RunOptions
    points: Sequence[PointResult]

    def to_json(self) -> dict[str, object]:
        """Return the report for `json.dumps`; what the fields mean is told by `Outcome`."""
        points = [{**asdict(point), "speed_up": point.speed_up} for point in self.points]
        return {**asdict(self), "points": points}

    def header_lines(self) -> list[str]:
        """Return what was simulated, and on what."""
        base = self.base
        return [
            *head_lines(self.command, self.machine, self.versions),
            f"target    {base.targets} x passes of {base.target_steps} (rows=ms), {base.rtt_ms:g} ms away",
            (
                f"draft     {base.drafts} x passes of {base.draft_steps} (rows=ms), {base.draft_rtt_ms:g} ms away, "
                f"acceptance {base.acceptance:g}, second choice {base.second_chance:g}"
            ),
            (
                f"load      {base.sessions} sessions, {base.max_tokens} tokens each time, "
                f"{base.orchestrators} orchestrator(s), {self.options.seconds:g} s x {self.options.num_repeats}, "
                f"dilation {base.dilation:g}"
            ),
        ]

    def table(self) -> Table:
        """Return one row for each point and each way of generating."""
        names = list(dict.fromkeys(name for point in self.points for name in point.values))
        table = Table(box=box.MARKDOWN, pad_edge=True)
        for name in (*names, "K"):
            table.add_column(name, no_wrap=True)
        for heading in ("tok/s", "speed-up", *COLUMNS):
            table.add_column(heading, justify="right", no_wrap=True)
        for point in self.points:
            swept = [point.values.get(name, NOTHING) for name in names]
            table.add_row(*swept, "off", *_cells(middle_outcome(point.target_only), None))
            if point.speculative:
                length = str(point.settings.num_draft_tokens)
                table.add_row(*swept, length, *_cells(middle_outcome(point.speculative), point.speed_up))
        return table

    def footer_lines(self) -> list[str]:
        """Return how to read the table, and what failed."""
        reading = (
            "tok/s and round times are of the simulated clock, all else of the real one; outside: a round without "
            "models, their queues and the emulated distance"
        )
        return [reading, *self._shortfalls()]

    def _shortfalls(self) -> Iterator[str]:
        for point in self.points:
            where = ", ".join(f"{name} {value}" for name, value in point.values.items()) or "this size"
            for outcome in (*point.target_only, *point.speculative):
                if outcome.failures:
                    yield f"failed at {where}: {outcome.failures}"
                if outcome.num_begun_sessions < point.settings.sessions:
                    yield f"at {where} only {outcome.num_begun_sessions} sessions had begun in time"


def head_lines(command: str, machine: Machine, versions: dict[str, str]) -> list[str]:
    """Return by what a measurement can be repeated."""
    return [
        f"command   {command}",
        (
            f"machine   {machine.cpu}, {machine.num_usable_cores} of {machine.num_cores} cores usable, "
            f"{machine.memory_gib} GiB, Linux {machine.kernel}"
        ),
        f"versions  {', '.join(f'{name} {number}' for name, number in versions.items())}",
    ]


def _cells(outcome: Outcome, speed_up: float | None) -> list[str]:
    return [
        _number(outcome.tokens_per_second, ".1f"),
        _number(speed_up, ".2f"),
        *(read(outcome) for read in COLUMNS.values()),
    ]


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)
