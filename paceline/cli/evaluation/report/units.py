"""How numbers of each quantity are shown."""

import math
from dataclasses import dataclass, replace

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True)
class Unit:
    """A quantity's numbers are divided by `scale` and get `digits` after the point.

    `symbol` is a key of the wording's `units`.
    """

    symbol: str
    scale: float = 1.0
    digits: int = 0

    def show(self, value: float) -> str:
        """Return the number in this unit, without its symbol."""
        return f"{value / self.scale:,.{self.digits}f}"


COUNT = Unit("none")
DECIMAL = Unit("none", digits=2)
TIMES = Unit("times", digits=2)
ROUGH_TIMES = Unit("times", digits=1)
SHARE = Unit("share", 0.01, 1)
ROUGH_SHARE = Unit("share", 0.01)
MILLISECONDS = Unit("milliseconds", 0.001, 1)
ROUGH_MILLISECONDS = Unit("milliseconds", 0.001)
SECONDS = Unit("seconds", digits=2)
MINUTES = Unit("minutes", 60.0, 1)
RATE = Unit("rate", digits=1)
BYTES = Unit("bytes")
WATTS = Unit("none", digits=1)
HOURS = Unit("hours", digits=2)
KWH = Unit("kwh", digits=3)
MONEY = Unit("none", digits=2)
MEMORY_GIB = Unit("gib", digits=1)


def size_unit(value: float) -> Unit:
    """Return the largest binary unit of which there is one at least, with three figures; bytes below a KiB."""
    for symbol, scale in (("gib", GIB), ("mib", MIB), ("kib", KIB)):
        if value >= scale:
            return to_figures(Unit(symbol, scale), value)
    return BYTES


def to_figures(unit: Unit, value: float, num_figures: int = 3) -> Unit:
    """Return the unit with as many digits as show so many significant figures: 0.0123, 1.23, 123, 1,234."""
    shown = abs(value / unit.scale)
    exponent = math.floor(math.log10(shown)) if shown else 0
    return replace(unit, digits=max(0, num_figures - 1 - exponent))
