"""A cell: the circumstances under which some systems are measured side by side."""

from dataclasses import dataclass

from benchmarks.comparison.system import System
from benchmarks.peers.exchange import RoundTrips

CLOSED = "closed"
POISSON = "poisson"


@dataclass(frozen=True)
class Arrivals:
    """When sessions ask: all at once, each again when answered, or at random with `rate` requests a second."""

    kind: str = CLOSED
    rate: float = 0.0

    def describe(self) -> str:
        """Return it as --arrivals has it."""
        return CLOSED if self.kind == CLOSED else f"{POISSON}:{self.rate:g}"


@dataclass(frozen=True)
class Cell:
    """Circumstances.

    Attributes:
        cores: As `paceline up` has them; peers that are one process get all that are named.
        kind: Prompts of which kind.
        num_sessions: Clients at once; with random arrivals, how many come in a trial.
        round_trips: Emulated distances from the orchestrator; None is loopback, without any emulation.
        temperature: 0 is greedy.
        arrivals: When they ask.
        systems: What is measured side by side.
    """

    cores: str
    kind: str
    num_sessions: int
    systems: tuple[System, ...]
    round_trips: RoundTrips | None = None
    temperature: float = 0.0
    arrivals: Arrivals = Arrivals()

    @property
    def key(self) -> str:
        """What names it in the journal, without the systems."""
        return " | ".join(
            (
                self.cores,
                self.kind,
                f"{self.num_sessions} sessions",
                self.distance,
                f"T = {self.temperature:g}",
                self.arrivals.describe(),
            )
        )

    @property
    def distance(self) -> str:
        """The emulated distances in words."""
        if self.round_trips is None:
            return "loopback"
        return f"{self.round_trips.target_ms:g} ms to target, {self.round_trips.draft_ms:g} ms to draft"

    @property
    def title(self) -> str:
        """The cell in a few words, for progress bars and tables."""
        parts = [self.kind, f"{self.num_sessions} sessions" if self.num_sessions > 1 else "1 session"]
        if self.round_trips is not None:
            parts.append(self.distance)
        if self.temperature:
            parts.append(f"T = {self.temperature:g}")
        if self.arrivals.kind != CLOSED:
            parts.append(self.arrivals.describe())
        return ", ".join(parts)


def one_core_each(cores: str) -> bool:
    """Say whether an assignment gives draft and target one core each, none of them shared."""
    parts = dict(part.split("=") for part in cores.split(","))
    draft, target = parts.get("draft", ""), parts.get("target", "")
    return draft.isdecimal() and target.isdecimal() and draft != target
