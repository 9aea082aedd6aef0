"""A run as JSON for programs and as Markdown for people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from benchmarks.comparison.load_plan import Amount
from benchmarks.comparison.models import ModelPlan
from benchmarks.comparison.summary import CellSummary, SystemSummary
from benchmarks.comparison.system import GENAI_TARGET, OURS_TARGET, System
from benchmarks.comparison.verdict import Verdict, verdicts
from paceline.cli.benchmark.machine import Machine
from paceline.cli.benchmark.spread import Spread

NOTHING = "-"
MIB = 1 << 20
HEADINGS = (
    "system",
    "tok/s",
    "x our target-only",
    "x GenAI target-only",
    "x GenAI best K",
    "1st token p50 / p99, s",
    "between tokens p50 / p99, ms",
    "accepted",
    "CPU s/token",
    "memory, MiB",
    "same ids",
)


@dataclass(frozen=True)
class Report:
    """Everything that a run has to tell."""

    command: str
    machine: Machine
    versions: Mapping[str, str]
    models: ModelPlan
    amount: Amount
    cells: Sequence[CellSummary]
    skipped: Sequence[str]
    plots: Sequence[str] = ()

    @property
    def verdicts(self) -> list[Verdict]:
        """Whether what is to be shown holds."""
        return verdicts(self.cells)

    @property
    def differing(self) -> list[str]:
        """Where ours gave other ids than its own target alone."""
        return [
            f"{one.cell.title}, cores {one.cell.cores}: {system.title}"
            for one in self.cells
            for system in one.differing
        ]

    def to_json(self) -> str:
        """Return the report; times in seconds, memory in bytes."""
        document = {
            "command": self.command,
            "machine": asdict(self.machine),
            "versions": dict(self.versions),
            "models": asdict(self.models),
            "amount": asdict(self.amount),
            "verdicts": [{**asdict(one), "holds": one.holds} for one in self.verdicts],
            "differing": self.differing,
            "skipped": list(self.skipped),
            "cells": [_cell_json(one) for one in self.cells],
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"

    def to_markdown(self) -> str:
        """Return the report as a page."""
        parts = [
            "# Benchmark results\n",
            _bullets(self._header()),
            "\n## What is to be shown\n",
            verdict_table(self.verdicts),
            "\n" + self._identity() + "\n",
            *(f"![{name}]({name})\n" for name in self.plots),
            "\n## Systems\n",
            _bullets(_computing(self.cells)),
            *(_cell_section(one) for one in self.cells),
        ]
        if self.skipped:
            parts += ["\n## Not measured\n", _bullets(self.skipped)]
        parts.append(_LEGEND)
        return "\n".join(parts)

    def _header(self) -> list[str]:
        machine, models, amount = self.machine, self.models, self.amount
        return [
            f"command: `{self.command}`",
            (
                f"machine: {machine.cpu}, {machine.num_usable_cores} of {machine.num_cores} cores usable, "
                f"{machine.memory_gib} GiB, Linux {machine.kernel}"
            ),
            f"versions: {', '.join(f'{name} {number}' for name, number in self.versions.items())}",
            (
                f"models: pair {models.pair}; target {models.target_weights}{_where(models)}; "
                f"draft {models.draft_weights} (ours), {models.peer_draft_weights} (GenAI); "
                f"transformers {models.transformers_weights}; "
                f"GenAI's precision {models.genai_precision or 'its default'}"
            ),
            (
                f"each cell: {amount.num_repeats} repeats x {amount.num_groups} groups of prompts, systems "
                f"alternating; {amount.max_tokens} tokens at most; seed {amount.seed}"
            ),
        ]

    def _identity(self) -> str:
        if self.differing:
            return f"**Ours gave OTHER ids than its target alone**: {'; '.join(self.differing)}"
        summaries = [
            one.summary(system)
            for one in self.cells
            for system in one.systems
            if system.manner_kind != "target"
        ]
        compared = [one for one in summaries if one.system.peer == "ours" and one.num_identical is not None]
        num_answers = sum(one.num_answers for one in compared)
        return f"Ours with a draft gave the ids of our target alone in all {num_answers} answers compared."


def verdict_table(found: Sequence[Verdict]) -> str:
    """Return the thresholds as a Markdown table."""
    words = {True: "holds", False: "**falls short**", None: "not measured"}
    rows = [
        [
            str(one.show),
            one.claim,
            f">= {one.threshold:g}",
            NOTHING if one.measured is None else f"{one.measured:.2f}",
            words[one.holds],
            one.where,
        ]
        for one in found
    ]
    return _table(("show", "what", "wanted", "measured", "", "where"), rows)


def _cell_section(one: CellSummary) -> str:
    lines = [f"\n## {one.cell.title}; cores {one.cell.cores}\n"]
    if one.measured.measured_round_trips_ms is not None:
        target, draft = one.measured.measured_round_trips_ms
        lines.append(
            f"Round trips as a probe measured them: {target:.2f} ms to target, {draft:.2f} ms to draft.\n"
        )
    lines.append(_table(HEADINGS, [_row(one, one.summary(system)) for system in one.systems]))
    colds = [
        f"{system.title} {seconds:.2f} s"
        for system in one.systems
        if (seconds := one.summary(system).cold_first_token) is not None
    ]
    if colds:
        lines.append(f"\nFirst token of a prompt that no cache held: {'; '.join(colds)}.")
    return "\n".join(lines)


def _computing(cells: Sequence[CellSummary]) -> list[str]:
    """What each system computes with, as its own processes say."""
    lines = {
        f"{system.title}: {about}": None
        for one in cells
        for system in one.systems
        if (about := one.summary(system).about)
    }
    return list(lines)


def _row(one: CellSummary, summary: SystemSummary) -> list[str]:
    system, best = summary.system, one.best_speculative("genai")
    return [
        system.title,
        _spread(summary.tokens_per_second, ".1f"),
        _ratio(one, system, OURS_TARGET),
        _ratio(one, system, GENAI_TARGET),
        _ratio(one, system, best) if best else NOTHING,
        _pair(summary.first_token_p50, summary.first_token_p99, 1, ".2f"),
        _pair(summary.token_p50, summary.token_p99, 1000, ".0f"),
        NOTHING if summary.acceptance is None else f"{summary.acceptance:.0%}",
        NOTHING if summary.cpu_seconds_per_token is None else f"{summary.cpu_seconds_per_token:.3f}",
        _memory(summary.peak_memory_bytes),
        NOTHING if summary.num_identical is None else f"{summary.num_identical}/{summary.num_answers}",
    ]


def _ratio(one: CellSummary, system: System, base: System) -> str:
    return NOTHING if system == base else _spread(one.ratio(system, base), ".2f")


def _spread(spread: Spread | None, digits: str) -> str:
    if spread is None:
        return NOTHING
    return f"{spread.median:{digits}} ({spread.low:{digits}}-{spread.high:{digits}})"


def _pair(first: float | None, second: float | None, factor: float, digits: str) -> str:
    if first is None or second is None:
        return NOTHING
    return f"{first * factor:{digits}} / {second * factor:{digits}}"


def _memory(peaks: Mapping[str, int]) -> str:
    if not peaks:
        return NOTHING
    total = sum(peaks.values()) / MIB
    if len(peaks) == 1:
        return f"{total:.0f}"
    parts = ", ".join(f"{name} {size / MIB:.0f}" for name, size in peaks.items())
    return f"{total:.0f} ({parts})"


def _cell_json(one: CellSummary) -> dict[str, object]:
    pairs = [(system, base) for system in one.systems for base in one.systems if system != base]
    ratios = [
        {
            "system": system.key,
            "base": base.key,
            "tokens_per_second": _spread_json(one.ratio(system, base)),
            "decode_tokens_per_second": _spread_json(one.decode_ratio(system, base)),
        }
        for system, base in pairs
    ]
    return {
        "cell": {**asdict(one.cell), "systems": [system.key for system in one.cell.systems]},
        "measured_round_trips_ms": one.measured.measured_round_trips_ms,
        "skipped": list(one.measured.skipped),
        "systems": [{"key": system.key, **asdict(one.summary(system))} for system in one.systems],
        "ratios": ratios,
    }


def _spread_json(spread: Spread | None) -> dict[str, object] | None:
    return None if spread is None else asdict(spread)


def _where(models: ModelPlan) -> str:
    """Where our target computes, if that was chosen."""
    engine = f" by {models.target_engine}" if models.target_engine else ""
    return f"{engine} on {models.target_device}" if models.target_device else engine


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


_LEGEND = """
## How to read it

Median (quartiles) over trials; ratios are taken within the same questions of the same repeat, then their median.
tok/s counts from a question to its last token, all sessions together; prompts were in all caches, except with
transformers and where GenAI keeps none. Tokens that came together share their time. CPU seconds and memory are of all
processes of a system without the client; memory is the sum of the most that each process ever held, mapped weights
included. "same ids": answers with the ids of the same peer's target alone.
"""
