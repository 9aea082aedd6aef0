"""KV memory: predicted, measured, and what keeping a cache costs beside computing it again."""

from dataclasses import dataclass

from paceline.cli.evaluation.findings import CacheCost, Evaluation, KvMemory
from paceline.cli.evaluation.report.located import Located
from paceline.cli.evaluation.report.plots import Mark, RowPlot, Series, drawn
from paceline.cli.evaluation.report.teller import Teller
from paceline.cli.evaluation.report.units import BYTES


@dataclass(frozen=True)
class MemoryRow:
    """One model in one precision; `measured_over_predicted` is of None where it was not measured."""

    memory: Located[KvMemory]
    measured_over_predicted: Located[float | None]


@dataclass(frozen=True)
class Memory:
    """All models."""

    rows: tuple[MemoryRow, ...]
    plots: tuple[RowPlot, ...]
    costs: tuple[Located[CacheCost], ...]


def memory_of(evaluation: Located[Evaluation], tell: Teller) -> Memory:
    """Return what was predicted and measured."""
    memories: list[Located[KvMemory]] = list(evaluation.kv_memory)
    rows = tuple(
        MemoryRow(one, one.measured_bytes_per_token.over(one.predicted_bytes_per_token)) for one in memories
    )
    models = dict.fromkeys((one.raw.role, one.raw.model) for one in memories)
    plots = [
        _plot([one for one in memories if (one.raw.role, one.raw.model) == model], tell) for model in models
    ]
    return Memory(rows, drawn(plots), tuple(evaluation.cache_costs))


def _plot(memories: list[Located[KvMemory]], tell: Teller) -> RowPlot:
    """One model in each precision."""
    measured = Series(tell.say("series.measured-once"), 0)
    predicted = Series(tell.say("series.predicted"), 1, is_hollow=True)
    marks: list[Mark] = []
    for place, one in enumerate(memories):
        for series, figure in (
            (predicted, one.predicted_bytes_per_token),
            (measured, one.measured_bytes_per_token),
        ):
            if figure.raw is not None:
                says = tell.say("memory.mark", series=series.name, size=tell.measure(figure, BYTES))
                marks.append(Mark(place, series, figure, says))
    names = tuple(tell.name(one.precision) for one in memories)
    return RowPlot(tell.name(memories[0].model), names, (measured, predicted), tuple(marks), BYTES)
