"""How far an evaluation is, on the error stream: bars on a terminal, lines elsewhere."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from time import monotonic
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from paceline.cli.evaluation.reading.plan import Progress as Report

# Lines come no more often than that.
_LINE_SECONDS = 10.0


class ProgressView:
    """Shows one bar for the part that runs and one for all of them; lives inside a `with`.

    `shares` says how long the parts take, by name, in any unit; a part that is not named there counts as nothing.
    """

    def __init__(self, shares: Mapping[str, float], console: Console | None = None) -> None:
        self._shares = shares
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._is_live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._is_live,
            refresh_per_second=2,  # the cores that it would use are being measured
        )
        self._overall = self._bars.add_task("evaluation", total=sum(shares.values()))
        self._num_done = 0.0
        self._told_at = monotonic()

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, markup=False)

    @contextmanager
    def part(self, name: str) -> Generator[Report]:
        """Show a part inside a `with`; yield what it tells its progress to."""
        share, began_at = self._shares.get(name, 0.0), monotonic()
        task = self._bars.add_task(escape(name), total=None)
        farthest = 0.0

        def report(step: str, num_done: int, num_total: int) -> None:
            nonlocal farthest
            farthest = max(farthest, num_done / num_total if num_total else 0.0)
            self._bars.update(
                task, description=escape(f"{name}: {step}"), completed=num_done, total=num_total
            )
            self._bars.update(self._overall, completed=self._num_done + share * farthest)
            self._tell(f"{name}: {step}, {num_done} of {num_total}")

        try:
            yield report
        finally:
            self._bars.remove_task(task)
        self._num_done += share
        self._bars.update(self._overall, completed=self._num_done)
        if not self._is_live:
            self.say(f"{name}: done in {monotonic() - began_at:.0f} s")

    def skip(self, name: str) -> None:
        """Count a part that was finished earlier."""
        self._num_done += self._shares.get(name, 0.0)
        self._bars.update(self._overall, completed=self._num_done)

    def _tell(self, line: str) -> None:
        """Print a line where there are no bars, if the latest one is some time ago."""
        if not self._is_live and monotonic() - self._told_at >= _LINE_SECONDS:
            self.say(line)
            self._told_at = monotonic()
