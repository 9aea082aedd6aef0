"""Which settings a run goes through."""

from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from benchmarks.simulation.settings import Settings
from paceline.errors import ConfigError


class SweepPoint(NamedTuple):
    """Settings, and the values that make them differ from those of the other points, by name."""

    values: dict[str, str]
    settings: Settings


def sweep_points(base: Settings, sweeps: Iterable[str]) -> list[SweepPoint]:
    """Return every combination of the swept values; the base alone where nothing is swept.

    Example: `rtt=0,15` and `acceptance=0.3,0.8` give four points. Raises ConfigError.
    """
    axes = [_axis(text) for text in sweeps]
    points: list[SweepPoint] = []
    for values in product(*(axis[1] for axis in axes)):
        named = dict(zip((axis[0] for axis in axes), values, strict=True))
        settings = base
        for name, value in named.items():
            settings = settings.with_value(name, value)
        points.append(SweepPoint(named, settings))
    return points


def _axis(text: str) -> tuple[str, list[str]]:
    name, separator, values = text.partition("=")
    if not (name and separator and all(values.split(","))):
        raise ConfigError(f"--sweep {text!r}: write NAME=VALUE,VALUE as in rtt=0,5,15", setting="sweep")
    return name, values.split(",")
