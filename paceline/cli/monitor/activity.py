"""What orchestrators did in some seconds: rates and shares from the differences of their totals."""

from collections.abc import Mapping
from typing import NamedTuple

from paceline.client.orchestrator_totals import OrchestratorTotals

# The parts of a round in the words of operators, in the order in which they are shown.
_PARTS = {
    "target": ("target_compute",),
    "draft": ("draft_compute",),
    "queues": ("target_queue", "draft_queue"),
    "network": ("target_network", "draft_network"),
    "Redis": ("commit",),
    "client": ("client",),
    "own": ("orchestrator",),
    "in vain": ("draft_missing",),
    "failover": ("failover",),
}


class Activity(NamedTuple):
    """What was done in so many seconds; a property is None where nothing was done that it could be told from."""

    seconds: float = 0.0
    totals: OrchestratorTotals = OrchestratorTotals()

    @property
    def num_tokens(self) -> int:
        """Tokens that rounds have added to texts."""
        return sum(self.totals.num_tokens_by_origin.values())

    @property
    def num_rounds(self) -> int:
        """Rounds of all drafters."""
        return sum(self.totals.num_rounds_by_drafter.values())

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens a second of all sessions together."""
        return self.num_tokens / self.seconds if self.seconds > 0 else None

    @property
    def rounds_per_second(self) -> float | None:
        """Rounds a second of all sessions together."""
        return self.num_rounds / self.seconds if self.seconds > 0 else None

    @property
    def tokens_per_round(self) -> float | None:
        """Tokens that a round brings, the target's own included."""
        return _ratio(self.num_tokens, self.num_rounds)

    @property
    def round_seconds(self) -> float | None:
        """How long a round takes."""
        return _ratio(sum(self.totals.round_seconds_by_part.values()), self.num_rounds)

    @property
    def acceptance(self) -> float | None:
        """Share of the judged draft tokens that were accepted."""
        return _ratio(self.totals.num_accepted_tokens, self.totals.num_draft_tokens)

    @property
    def ahead_hit_rate(self) -> float | None:
        """Share of the proposals ahead of which something had been drafted that could use it."""
        num = self.totals.num_proposals_by_ahead_outcome
        num_hits = num.get("continued", 0) + num.get("guessed", 0)
        return _ratio(num_hits, num_hits + num.get("missed", 0))

    @property
    def speedup(self) -> float | None:
        """How many times as fast as the target alone generations were, as they themselves estimate."""
        return _ratio(self.totals.speedup_sum, self.totals.num_speedup_estimates)

    @property
    def drafter_shares(self) -> Mapping[str, float]:
        """Shares of rounds by drafter, the largest first."""
        return _shares(self.totals.num_rounds_by_drafter)

    @property
    def time_shares(self) -> Mapping[str, float]:
        """Shares of the rounds' time by what it went to, in a fixed order; what took next to nothing is left out."""
        seconds = self.totals.round_seconds_by_part
        named = {name: sum(seconds.get(part, 0.0) for part in parts) for name, parts in _PARTS.items()}
        known = {part for parts in _PARTS.values() for part in parts}
        named["other"] = sum(value for part, value in seconds.items() if part not in known)
        total = sum(named.values())
        return {name: value / total for name, value in named.items() if total and value >= 0.005 * total}


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _shares(numbers: Mapping[str, int]) -> Mapping[str, float]:
    total = sum(numbers.values())
    ordered = sorted(numbers.items(), key=lambda one: -one[1])
    return {name: num / total for name, num in ordered if num}
