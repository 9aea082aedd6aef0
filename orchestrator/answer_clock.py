"""How long a draft replica takes at its present load, from the answers that it gave."""

from dataclasses import dataclass

# A new answer counts a quarter, so that the expectation follows a change of load within some rounds.
_WEIGHT = 0.25
_FEWEST_ANSWERS = 8  # before them the expectation says little
_EXPECTATIONS = 4.0
_DEVIATIONS = 8.0
_SHORTEST_PATIENCE_SECONDS = 0.5  # a machine that is busy for a moment is no slow draft


@dataclass
class AnswerClock:
    """Moving averages of the seconds per forward pass, queueing and network included, and of how much they vary.

    This is how TCP times its retransmissions (RFC 6298), with more patience.
    """

    num_answers: int = 0
    seconds_per_step: float = 0.0
    deviation_seconds: float = 0.0

    def note(self, num_steps: int, seconds: float) -> None:
        """Note an answer that took so many passes, at least one."""
        latest = seconds / max(1, num_steps)
        if self.num_answers == 0:
            self.seconds_per_step = latest
        difference = latest - self.seconds_per_step
        self.seconds_per_step += _WEIGHT * difference
        self.deviation_seconds += _WEIGHT * (abs(difference) - self.deviation_seconds)
        self.num_answers += 1

    def patience_seconds(self, num_steps: int, longest: float) -> float:
        """Return how long to wait for an answer of so many passes, at most `longest` seconds.

        Example: 0.05 s a pass, always, and 6 passes are expected to take 0.3 s -> 1.2 s, or `longest` if that is less;
        where passes take 0.05 s give or take 0.03 s -> 1.74 s.
        """
        if self.num_answers < _FEWEST_ANSWERS:
            return longest
        mean = self.seconds_per_step
        patience = num_steps * max(_EXPECTATIONS * mean, mean + _DEVIATIONS * self.deviation_seconds)
        return min(longest, max(_SHORTEST_PATIENCE_SECONDS, patience))
