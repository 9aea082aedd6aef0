"""Goes through the points of a sweep: a fresh cluster for each, target-only and speculative loads in turn."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.simulation.cluster import running_cluster
from benchmarks.simulation.measurement import measure
from benchmarks.simulation.outcome import Outcome
from benchmarks.simulation.run_options import RunOptions
from benchmarks.simulation.settings import OFF, Settings
from benchmarks.simulation.sweep import SweepPoint
from paceline.client.generation import Speculation, SpeculationMode

TARGET_ONLY = "target-only"
TARGET_ONLY_SPECULATION = Speculation(SpeculationMode.OFF)


@dataclass(frozen=True)
class PointResult:
    """What one point of a sweep came to.

    Attributes:
        values: The swept values, by name.
        target_only, speculative: One outcome a repeat; no speculative ones where speculation is off.
    """

    values: dict[str, str]
    settings: Settings
    target_only: tuple[Outcome, ...]
    speculative: tuple[Outcome, ...]

    @property
    def speed_up(self) -> float | None:
        """The median ratio of tokens per second of loads that ran side by side."""
        pairs = zip(self.speculative, self.target_only, strict=False)
        ratios = [
            one.tokens_per_second / alone.tokens_per_second for one, alone in pairs if alone.tokens_per_second
        ]
        return statistics.median(ratios) if ratios else None


def middle_outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the outcome of median tokens per second; the slower one of two in the middle."""
    return sorted(outcomes, key=lambda one: one.tokens_per_second)[(len(outcomes) - 1) // 2]


def num_loads(settings: Settings, options: RunOptions) -> int:
    """Return how many loads a point has."""
    return options.num_repeats * (1 if settings.num_draft_tokens == OFF else 2)


async def run_point(
    point: SweepPoint, options: RunOptions, directory: Path, on_load: Callable[[str], None]
) -> PointResult:
    """Start a cluster, run its loads and stop it; `on_load` hears of each load before it begins.

    Raises ProcessFailedError or NotReadyError.
    """
    settings, target_only, speculative = point.settings, list[Outcome](), list[Outcome]()
    kinds = [(TARGET_ONLY, TARGET_ONLY_SPECULATION, target_only)]
    if settings.num_draft_tokens != OFF:
        kinds.append((f"K = {settings.num_draft_tokens}", settings.speculation, speculative))
    async with running_cluster(settings, options, directory) as cluster:
        for repeat in range(options.num_repeats):
            # Whatever the machine does meanwhile falls on both alike.
            for name, speculation, outcomes in kinds if repeat % 2 == 0 else reversed(kinds):
                on_load(name)
                turn = len(target_only) + len(speculative)
                outcomes.append(await measure(cluster, settings, speculation, options, turn))
    return PointResult(point.values, settings, tuple(target_only), tuple(speculative))
