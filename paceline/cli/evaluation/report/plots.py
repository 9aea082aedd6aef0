"""Where the marks of a plot stand; `templates/plots.html` draws them.

Our own SVG rather than a plotting library's: its colours are the page's in light and in dark, its texts are in the
page's language and large enough on a phone, and each mark bears the path of its figure. matplotlib, which only
`make bench` needs, writes colours and fonts into its SVG, and neither it nor pygal could say which figure a mark is.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from paceline.cli.evaluation.findings import Estimate
from paceline.cli.evaluation.report.axis import Axis, axis_for
from paceline.cli.evaluation.report.located import Located
from paceline.cli.evaluation.report.units import Unit

# Paths around (0, 0), so that series can be told apart without colours.
SHAPES = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z",
    "M0 -5L5 0L0 5L-5 0Z",
    "M0 -5L4.6 3.6H-4.6Z",
    "M-3.7 -3.7H3.7V3.7H-3.7Z",
    "M0 5L4.6 -3.6H-4.6Z",
    "M-1.4 -5H1.4V-1.4H5V1.4H1.4V5H-1.4V1.4H-5V-1.4H-1.4Z",
)
WIDTH = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 12, 20, 38
_COLUMN_HEIGHT = 216
_ROW_HEIGHT, _ROW_MIDDLE, _ROWS_TOP = 40, 26, 4
_BESIDE = 11  # pixels between the marks of two series in one column
_LINE_BESIDE = 4  # on lines only so far that their intervals can be told apart


@dataclass(frozen=True)
class Series:
    """Marks of one look; `look` is a number that stands for colour and shape."""

    name: str
    look: int
    is_hollow: bool = False


@dataclass(frozen=True)
class Mark:
    """One figure, in a column or row; `says` is told on hover, `interval` is drawn around it."""

    place: int
    series: Series
    figure: Located[Any]
    says: str
    interval: Located[Estimate] | None = None
    is_best: bool = False

    @property
    def values(self) -> tuple[float, ...]:
        """Return all values that need room."""
        if self.interval is None:
            return (self.figure.raw,)
        return (self.figure.raw, self.interval.raw.low, self.interval.raw.high)

    @property
    def top(self) -> float:
        """Return the greatest of them."""
        return max(self.values)


@dataclass(frozen=True)
class ColumnPlot:
    """Values upwards, over columns of which each has a mark of each series.

    `reference` is a value with a line across; `has_lines` joins the marks of a series, `has_numbers` writes values at
    those of the first one.
    """

    title: str
    columns: tuple[str, ...]
    columns_title: str
    series: tuple[Series, ...]
    marks: tuple[Mark, ...]
    unit: Unit
    reference: float | None = None
    has_lines: bool = False
    has_numbers: bool = False

    width = WIDTH
    height = _COLUMN_HEIGHT
    left = _LEFT
    right = WIDTH - _RIGHT
    bottom = _COLUMN_HEIGHT - _BOTTOM

    @cached_property
    def axis(self) -> Axis:
        """Return the axis upwards."""
        values = [value for mark in self.marks for value in mark.values]
        values += [] if self.reference is None else [self.reference]
        return axis_for(values, self.bottom, _TOP, self.unit.scale)

    def tick(self, value: float) -> str:
        """Return what is written at a tick."""
        return _tick(self.axis, self.unit, value)

    def center(self, place: int) -> float:
        """Return the pixel of a column's middle."""
        return round(self.left + (place + 0.5) * (self.right - self.left) / len(self.columns), 2)

    def x(self, mark: Mark) -> float:
        """Return the pixel of a mark: series stand beside each other."""
        beside = _BESIDE
        if self.has_lines:
            beside = _LINE_BESIDE if mark.interval is not None else 0
        from_middle = self.series.index(mark.series) - (len(self.series) - 1) / 2
        return round(self.center(mark.place) + beside * from_middle, 2)

    def line(self, series: Series) -> str:
        """Return the points that join the marks of a series."""
        marks = sorted((mark for mark in self.marks if mark.series == series), key=lambda mark: mark.place)
        return " ".join(f"{self.x(mark)},{self.axis.at(mark.figure.raw)}" for mark in marks)


@dataclass(frozen=True)
class RowPlot:
    """Values to the right, in rows with names above them; a bar joins the least and the most of a row."""

    title: str
    rows: tuple[str, ...]
    series: tuple[Series, ...]
    marks: tuple[Mark, ...]
    unit: Unit

    width = WIDTH
    left = 8
    right = WIDTH - 52

    @cached_property
    def axis(self) -> Axis:
        """Return the axis to the right, which begins at 0."""
        values = [value for mark in self.marks for value in mark.values]
        return axis_for((0.0, *values), self.left, self.right, self.unit.scale)

    @property
    def bottom(self) -> int:
        """Return the pixel at which the rows end."""
        return _ROWS_TOP + _ROW_HEIGHT * len(self.rows)

    @property
    def height(self) -> int:
        """Return the height with the axis."""
        return self.bottom + _BOTTOM

    def middle(self, place: int) -> int:
        """Return the pixel at which the marks of a row stand."""
        return _ROWS_TOP + _ROW_HEIGHT * place + _ROW_MIDDLE

    def tick(self, value: float) -> str:
        """Return what is written at a tick."""
        return _tick(self.axis, self.unit, value)

    def has_marks(self, place: int) -> bool:
        """Return whether a row has something to show."""
        return any(mark.place == place for mark in self.marks)

    def most(self, place: int) -> Mark:
        """Return the mark of a row that stands farthest to the right."""
        return max((mark for mark in self.marks if mark.place == place), key=lambda mark: mark.figure.raw)

    def span(self, place: int) -> tuple[float, float]:
        """Return the pixels from the least to the most value of a row."""
        values = [mark.figure.raw for mark in self.marks if mark.place == place]
        return self.axis.at(min(values)), self.axis.at(max(values))


def _tick(axis: Axis, unit: Unit, value: float) -> str:
    return replace(unit, digits=axis.digits(unit.scale)).show(value)


P = TypeVar("P", ColumnPlot, RowPlot)


def drawn(plots: Iterable[P]) -> tuple[P, ...]:
    """Return those plots that have something to show."""
    return tuple(plot for plot in plots if plot.marks)
