"""What the rounds so far tell of the next one: acceptance, and seconds by draft length, recent rounds most."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.draft_length import RoundForecast

# A round counts half after so many others.
HALF_LIFE_ROUNDS = 16
_DECAY = 0.5 ** (1 / HALF_LIFE_ROUNDS)
# Before anything is known: six in ten draft tokens are accepted, worth this many observations.
_PRIOR_ACCEPTANCE = 0.6
_PRIOR_WEIGHT = 2.0
# Before anything is known: a draft token adds this share of a round without any.
_PRIOR_COST_PER_TOKEN = 0.1


@dataclass
class AcceptanceHistory:
    """The share of draft tokens accepted among those whose predecessors were, with decay."""

    _accepted: float = _PRIOR_ACCEPTANCE * _PRIOR_WEIGHT
    _judged: float = _PRIOR_WEIGHT

    @property
    def acceptance(self) -> float:
        """The estimate, 0 to 1."""
        return self._accepted / self._judged

    def note(self, num_drafted: int, num_accepted: int) -> None:
        """Count a verdict; drafts after the first refused one were never judged on their own."""
        if num_drafted:
            self._accepted = self._accepted * _DECAY + num_accepted
            self._judged = self._judged * _DECAY + min(num_drafted, num_accepted + 1)


@dataclass
class SecondsHistory:
    """Seconds of a round as a line over its number of draft tokens, fitted by decayed least squares."""

    _weight: float = 0.0
    _sums: list[float] = field(default_factory=lambda: [0.0] * 4)  # of x, y, x * x, x * y

    def note(self, num_draft_tokens: int, seconds: float) -> None:
        """Count a round."""
        x, y = float(num_draft_tokens), seconds
        self._weight = self._weight * _DECAY + 1
        self._sums = [kept * _DECAY + new for kept, new in zip(self._sums, (x, y, x * x, x * y), strict=True)]

    def forecast(self, max_draft_tokens: int) -> Sequence[float] | None:
        """Return seconds for 0 to `max_draft_tokens` draft tokens; None before the first round.

        Until different lengths were tried the slope is a guess, which is where the first rounds come from.
        """
        if not self._weight:
            return None
        mean_x, mean_y, mean_xx, mean_xy = (one / self._weight for one in self._sums)
        spread = mean_xx - mean_x * mean_x
        base_guess = mean_y / (1 + _PRIOR_COST_PER_TOKEN * mean_x)
        slope = (mean_xy - mean_x * mean_y) / spread if spread > 0.1 else _PRIOR_COST_PER_TOKEN * base_guess
        slope = max(slope, 0.0)
        base = max(mean_y - slope * mean_x, 0.1 * mean_y)
        return [base + slope * length for length in range(max_draft_tokens + 1)]


@dataclass
class RoundHistory:
    """One session's rounds."""

    acceptance: AcceptanceHistory = field(default_factory=AcceptanceHistory)
    seconds: SecondsHistory = field(default_factory=SecondsHistory)
    num_rounds_without_draft: int = 0

    def note(self, num_drafted: int, num_accepted: int, seconds: float) -> None:
        """Count a round and the seconds from its beginning to its verdict."""
        self.acceptance.note(num_drafted, num_accepted)
        self.seconds.note(num_drafted, seconds)
        self.num_rounds_without_draft = 0 if num_drafted else self.num_rounds_without_draft + 1

    def forecast(self, max_draft_tokens: int) -> RoundForecast | None:
        """Return what the next round is expected to bring and cost; None before the first one."""
        seconds = self.seconds.forecast(max_draft_tokens)
        return None if seconds is None else RoundForecast(self.acceptance.acceptance, seconds)
