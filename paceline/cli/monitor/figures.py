"""Numbers as operators read them; what is not known is a dash."""

UNKNOWN = "-"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def number(value: float | None, num_decimals: int = 1) -> str:
    """Return a number with as many decimals, without any from 1000 on."""
    if value is None:
        return UNKNOWN
    return f"{value:.{num_decimals if abs(value) < 1000 else 0}f}"


def milliseconds(seconds: float | None) -> str:
    """Return seconds as milliseconds with about three digits."""
    if seconds is None:
        return UNKNOWN
    return f"{1000 * seconds:.{0 if seconds >= 0.1 else 1 if seconds >= 0.01 else 2}f}"


def percent(share: float | None) -> str:
    """Return a share as whole per cent."""
    return UNKNOWN if share is None else f"{100 * share:.0f}%"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units.

    Example: 7500 -> "2 h 5 min".
    """
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def counted(num: int, noun: str) -> str:
    """Return so many things.

    Example: 1 session, 2 sessions.
    """
    return f"{num} {noun}" if num == 1 else f"{num} {noun}s"
