"""Models brought onto this machine and prepared, with progress on the error stream."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from paceline.local.plan import ModelChoice
from paceline.models.prepare import prepare
from paceline.models.prepared import NotPreparedError, find_prepared

# Why these: docs/decisions/002-weights-and-precision.md.
TARGET_WEIGHTS = "int8"
DRAFT_WEIGHTS = "int4"


def set_up_model(source: str, weights: str) -> ModelChoice:
    """Return a prepared model; pulls and prepares it first where it is missing."""
    return ModelChoice(Path(source).name or source, weights, find_or_prepare(source, weights))


def find_or_prepare(source: str, weights: str, cache_dir: Path | None = None) -> Path:
    """Return a model's prepared directory, made with progress bars where it is missing; raises as `prepare` does."""
    try:
        return find_prepared(source, weights, cache_dir)
    except NotPreparedError:
        return _prepare_with_progress(source, weights, cache_dir)


def _prepare_with_progress(source: str, weights: str, cache_dir: Path | None) -> Path:
    console = Console(stderr=True, highlight=False)
    console.print(f"{source} {weights}: not here yet; pulling and preparing it, once", soft_wrap=True)
    columns = (TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        tasks: dict[str, TaskID] = {}

        def move(step: str, num_done: int, num_total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=num_total)
            bars.update(tasks[step], completed=num_done, total=num_total)

        return prepare(source, weights, move, cache_dir)
