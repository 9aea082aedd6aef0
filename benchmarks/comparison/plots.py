"""Three pictures of a run: speed-up by kind of prompt, tokens a second by sessions, speed-up by distance."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison.cell import CLOSED
from benchmarks.comparison.summary import CellSummary
from benchmarks.comparison.system import OURS_TARGET, System

SUFFIXES = (".svg", ".png")
SIZE_INCHES = (9.0, 4.5)


def draw_all(cells: Sequence[CellSummary], directory: Path) -> list[str]:
    """Draw what the cells have something to say about; returns the names of the SVG files.

    Raises ImportError where matplotlib, of the extra `bench`, is not installed.
    """
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    names: list[str] = []
    for cores in dict.fromkeys(one.cell.cores for one in cells):
        same = [one for one in cells if one.cell.cores == cores and one.cell.arrivals.kind == CLOSED]
        greedy = [one for one in same if one.cell.temperature == 0]
        label = cores.replace(",", " ")
        near = [one for one in greedy if one.cell.round_trips is None]
        alone = [one for one in near if one.cell.num_sessions == 1]
        names += _draw_kinds(alone, directory, label)
        names += _draw_sessions([one for one in near if one.cell.kind == "code"], directory, label)
        far = [one for one in greedy if one.cell.round_trips is not None and one.cell.num_sessions == 1]
        names += _draw_distances(far, directory, label)
    return names


def _draw_kinds(cells: Sequence[CellSummary], directory: Path, label: str) -> list[str]:
    systems = [one for one in _systems(cells) if one != OURS_TARGET]
    if not systems:
        return []
    figure, axes = _axes(f"Speed-up over Paceline's target alone, one session, {label}", "times")
    width = 0.8 / len(systems)
    for number, system in enumerate(systems):
        places = [place + number * width for place in range(len(cells))]
        ratios = [one.ratio(system, OURS_TARGET) for one in cells]
        heights = [ratio.median if ratio else 0.0 for ratio in ratios]
        axes.bar(places, heights, width, label=system.title)
    axes.axhline(1.0, color="black", linewidth=0.8)
    centre = 0.4 - width / 2
    axes.set_xticks([place + centre for place in range(len(cells))], [one.cell.kind for one in cells])
    return _save(figure, axes, directory, f"speed-up-by-kind {label}")


def _draw_sessions(cells: Sequence[CellSummary], directory: Path, label: str) -> list[str]:
    numbers = sorted({one.cell.num_sessions for one in cells})
    if len(numbers) < 2:
        return []
    figure, axes = _axes(f"Code prompts, all sessions together, {label}", "tokens a second")
    for system in _systems(cells):
        points = sorted(
            (one.cell.num_sessions, spread.median)
            for one in cells
            if system in one.systems and (spread := one.summary(system).tokens_per_second)
        )
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=system.title)
    axes.set_xscale("log", base=2)
    axes.set_xticks(numbers, [str(number) for number in numbers])
    axes.set_xlabel("sessions")
    return _save(figure, axes, directory, f"tokens-by-sessions {label}")


def _draw_distances(cells: Sequence[CellSummary], directory: Path, label: str) -> list[str]:
    systems = [one for one in _systems(cells) if one != OURS_TARGET]
    if len({one.cell.round_trips for one in cells}) < 2:
        return []
    figure, axes = _axes(f"Speed-up over the target alone at the same distance, {label}", "times")
    lines = {(one.cell.kind, _draft_is_far(one)): None for one in cells}
    for kind, draft_is_far in lines:
        same = [one for one in cells if (one.cell.kind, _draft_is_far(one)) == (kind, draft_is_far)]
        for system in systems:
            points = sorted(
                (one.cell.round_trips.target_ms, ratio.median)
                for one in same
                if one.cell.round_trips and (ratio := one.ratio(system, OURS_TARGET))
            )
            far = ", draft as far" if draft_is_far else ""
            name = f"{kind}, {system.manner.name}{far}"
            axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=name)
    axes.axhline(1.0, color="black", linewidth=0.8)
    axes.set_xlabel("round-trip time from orchestrator to target, ms")
    return _save(figure, axes, directory, f"speed-up-by-distance {label}")


def _draft_is_far(one: CellSummary) -> bool:
    return one.cell.round_trips is not None and one.cell.round_trips.draft_ms > 0


def _systems(cells: Sequence[CellSummary]) -> list[System]:
    return list(dict.fromkeys(system for one in cells for system in one.systems))


def _axes(title: str, y_label: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    axes.set_ylabel(y_label)
    axes.grid(axis="y", alpha=0.3)
    return figure, axes


def _save(figure: Any, axes: Any, directory: Path, name: str) -> list[str]:
    axes.set_ylim(bottom=0)
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    stem = name.replace("=", "").replace(" ", "-")
    for suffix in SUFFIXES:
        figure.savefig(directory / f"{stem}{suffix}", dpi=120)
    return [f"{stem}.svg"]
