"""How long a forward pass takes, by its rows."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from paceline.errors import ConfigError


@dataclass(frozen=True)
class StepTime:
    """Milliseconds of a pass at some numbers of rows: straight lines between them, the last one going on.

    Fewer rows than the first point has cost what the first point costs.

    Example: ((1, 25.0), (5, 30.0)) gives 25 ms for 1 row, 27.5 for 3, 30 for 5 and 36.25 for 10.

    Attributes:
        points: (rows, milliseconds), at least one, rows ascending.
    """

    points: tuple[tuple[int, float], ...]

    def __post_init__(self) -> None:
        rows = [row for row, _ in self.points]
        if not rows or rows[0] < 1 or rows != sorted(set(rows)) or min(ms for _, ms in self.points) < 0:
            raise ConfigError(
                "a step time needs ROWS=MILLISECONDS pairs with ascending rows from 1 on and no negative time, "
                "as in 1=25,5=30",
                setting="steps",
            )

    @classmethod
    def line(cls, base_ms: float, row_ms: float) -> Self:
        """Return the time of passes that take a base and something more for each row."""
        return cls(((1, base_ms + row_ms), (2, base_ms + 2 * row_ms)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read points such as `1=25,5=30,64=110`; raises ConfigError."""
        try:
            pairs = [part.split("=") for part in text.split(",")]
            return cls(tuple((int(rows), float(milliseconds)) for rows, milliseconds in pairs))
        except ValueError as error:
            raise ConfigError(
                f"{text!r}: write ROWS=MILLISECONDS, as in 1=25,5=30", setting="steps"
            ) from error

    def milliseconds(self, num_rows: int) -> float:
        """Return the time of a pass."""
        rows, times = zip(*self.points, strict=True)
        if num_rows <= rows[-1] or len(rows) == 1:
            return float(np.interp(num_rows, rows, times))
        slope = max(0.0, (times[-1] - times[-2]) / (rows[-1] - rows[-2]))
        return times[-1] + slope * (num_rows - rows[-1])

    def __str__(self) -> str:
        return ",".join(f"{rows}={milliseconds:g}" for rows, milliseconds in self.points)
