"""Small drawings in one row of text."""

from collections.abc import Sequence

_HEIGHTS = "▁▂▃▄▅▆▇█"
_FULL, _EMPTY = "█", "░"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the latest values, one a column, the highest of them as a full block; what is missing is blank.

    Example: 0, 2 and 4 in a width of 4 -> " ▁▄█".
    """
    shown = values[-width:] if width > 0 else ()
    highest = max(shown, default=0.0)
    scale = (len(_HEIGHTS) - 1) / highest if highest > 0 else 0.0
    return "".join(_HEIGHTS[int(scale * max(0.0, value))] for value in shown).rjust(width)


def bar(share: float, width: int) -> str:
    """Return a share, 0 to 1, as a bar that is exact to an eighth of a column.

    Example: 0.5 in a width of 3 -> "█▌░".
    """
    eighths = round(8 * width * min(1.0, max(0.0, share)))
    full, rest = divmod(eighths, 8)
    partial = _EIGHTHS[rest] if rest else ""
    return (_FULL * full + partial).ljust(width, _EMPTY)


def split(total: int, shares: Sequence[float]) -> list[int]:
    """Return whole columns for shares that add up to 1, by largest remainder; together they are the total.

    Example: 10 columns for 0.55, 0.33 and 0.12 -> 6, 3, 1.
    """
    exact = [total * share for share in shares]
    columns = [int(one) for one in exact]
    by_remainder = sorted(range(len(exact)), key=lambda place: columns[place] - exact[place])
    for place in by_remainder[: total - sum(columns)]:
        columns[place] += 1
    return columns


def fair_rows(available: int, wanted: Sequence[int]) -> list[int]:
    """Return rows for those who want some: no more than are there, and nobody fewer than an equal share who wants it.

    Example: 10 rows, wanted 2, 9 and 4 -> 2, 4, 4.
    """
    given = [0] * len(wanted)
    left = max(0, available)
    while left > 0 and (hungry := [place for place, num in enumerate(wanted) if given[place] < num]):
        for place in hungry[:left]:
            given[place] += 1
        left -= len(hungry[:left])
    return given
