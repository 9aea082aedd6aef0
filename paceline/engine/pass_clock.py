"""How long a pass takes: a line through the latest passes, by which prompts are cut into chunks."""

from dataclasses import dataclass

# Of the weight that older passes have, each new one leaves so much: the last twenty count.
_MEMORY = 0.95
# Passes whose row counts spread less than this say nothing about the price of a row.
_LEAST_SPREAD_ROWS = 1.0


@dataclass
class PassClock:
    """Fits duration = base + rows * row_price to what was measured, older passes counting less and less.

    Example: passes of 1 row in 120 ms and of 11 rows in 220 ms give 110 ms and 10 ms a row: 300 ms hold 19 rows.
    """

    _weight: float = 0.0
    _rows: float = 0.0  # weighted sums
    _seconds: float = 0.0
    _rows_squared: float = 0.0
    _rows_seconds: float = 0.0

    def note(self, num_rows: int, seconds: float) -> None:
        """Take in a pass that has run."""
        self._weight = _MEMORY * self._weight + 1
        self._rows = _MEMORY * self._rows + num_rows
        self._seconds = _MEMORY * self._seconds + seconds
        self._rows_squared = _MEMORY * self._rows_squared + num_rows**2
        self._rows_seconds = _MEMORY * self._rows_seconds + num_rows * seconds

    def rows_within(self, seconds: float) -> int | None:
        """Return how many rows a pass of that duration holds, None where no pass has been seen.

        While all passes had about as many rows, nothing is known of what a row adds, and a pass is taken to cost so
        much a row: too much rather than too little, so that the next ones show it.
        """
        if not self._weight:
            return None
        mean_rows, mean_seconds = self._rows / self._weight, self._seconds / self._weight
        row_price = self._row_price(mean_rows, mean_seconds)
        base = max(0.0, mean_seconds - mean_rows * row_price)
        return max(0, int((seconds - base) / row_price)) if row_price > 0 else None

    @property
    def base_seconds(self) -> float:
        """What a pass takes whatever its rows; half of it all while all passes had about as many rows."""
        if not self._weight:
            return 0.0
        mean_rows, mean_seconds = self._rows / self._weight, self._seconds / self._weight
        if self._spread(mean_rows) < _LEAST_SPREAD_ROWS:
            return mean_seconds / 2
        return max(0.0, mean_seconds - mean_rows * self._row_price(mean_rows, mean_seconds))

    def _row_price(self, mean_rows: float, mean_seconds: float) -> float:
        spread = self._spread(mean_rows)
        if spread < _LEAST_SPREAD_ROWS:
            return mean_seconds / mean_rows
        slope = (self._rows_seconds / self._weight - mean_rows * mean_seconds) / spread
        return min(max(slope, 0.0), mean_seconds / mean_rows)

    def _spread(self, mean_rows: float) -> float:
        return self._rows_squared / self._weight - mean_rows**2
