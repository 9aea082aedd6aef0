"""How a run's budget is spent: how far it is, and how large the steps are there."""

from dataclasses import dataclass

WARM_UP_STEPS = 100
# Falling from a constant rate gives what a cosine gives, and needs no end that is known from the start (Hägele et al.,
# arXiv 2405.18392): a run that is resumed goes on at the full rate, and falls at its new end.
FALLING_SHARE = 0.35
# Where text has taken all the time.
_LEAST_SECONDS = 1e-3


@dataclass(frozen=True)
class Budget:
    """What one call of the command may use; the first limit that is reached ends it. One of them is given."""

    seconds: float | None = None
    num_tokens: int | None = None

    def progress(self, seconds: float, num_tokens: int) -> float:
        """Return the share that has been used, at most 1."""
        by_time = 0.0 if self.seconds is None else seconds / max(self.seconds, _LEAST_SECONDS)
        by_tokens = 0.0 if self.num_tokens is None else num_tokens / self.num_tokens
        return min(1.0, max(by_time, by_tokens))


def rate_share(num_steps: int, progress: float) -> float:
    """Return the share of the full learning rate: up over the first steps, constant, then down to 0.

    Example: half of it after 50 of 100 steps of warming up.
    """
    rising = min(1.0, (num_steps + 1) / WARM_UP_STEPS)
    falling = min(1.0, (1.0 - progress) / FALLING_SHARE)
    return rising * falling
