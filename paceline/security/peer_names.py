"""Which names in a client's certificate may call a service."""

from collections.abc import Collection, Iterable

ANY_LABEL = "*."


def checked_pattern(pattern: str) -> str:
    """Return a pattern; raises ValueError where it is neither a name nor `*.` and the rest of one."""
    if "*" in pattern.removeprefix(ANY_LABEL) or not pattern.removeprefix(ANY_LABEL):
        raise ValueError(f"{pattern!r} is neither a whole name nor one that begins with `*.`")
    return pattern


def is_allowed(names: Iterable[str], patterns: Collection[str]) -> bool:
    """Return whether one of the names is among the patterns, `*.` standing for one label; without any all are.

    DNS names have no case; URIs must be the same. Example: `*.paceline.svc` allows `blue.paceline.svc`, and neither
    `paceline.svc` nor `a.blue.paceline.svc`.
    """
    wanted = {_spelt(pattern) for pattern in patterns}
    return not wanted or any(not wanted.isdisjoint(_patterns_for(name)) for name in names)


def _patterns_for(name: str) -> tuple[str, ...]:
    """Return what a pattern may say to allow a name."""
    if _is_uri(name):
        return (name,)
    spelt = _spelt(name)
    return spelt, ANY_LABEL + spelt.partition(".")[2]


def _spelt(name: str) -> str:
    return name if _is_uri(name) else name.lower()


def _is_uri(name: str) -> bool:
    return "://" in name
