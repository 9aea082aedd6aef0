"""How much was used in the last minute."""

from collections import deque

_SLOT_SECONDS = 2.0
_WINDOW_SECONDS = 60.0


class SlidingMinute:
    """Sums up amounts by slots of time, as quota_store.lua does: a slot counts until its end is a minute ago.

    Times are in seconds on a clock that does not go back.
    """

    def __init__(self) -> None:
        self._slots: deque[list[int]] = deque()  # [slot, amount], in the order of slots

    @property
    def has_any(self) -> bool:
        """Whether anything was counted that has not been dropped yet."""
        return bool(self._slots)

    def add(self, now: float, amount: int) -> None:
        """Count an amount."""
        slot = int(now // _SLOT_SECONDS)
        if self._slots and self._slots[-1][0] == slot:
            self._slots[-1][1] += amount
        elif amount:
            self._slots.append([slot, amount])

    def total(self, now: float) -> int:
        """Return what counts."""
        oldest = (now - _WINDOW_SECONDS) // _SLOT_SECONDS
        while self._slots and self._slots[0][0] < oldest:
            self._slots.popleft()
        return sum(amount for _, amount in self._slots)

    def wait_seconds(self, now: float, limit: int) -> float:
        """Return the seconds until one more is within a limit of at least 1; 0 where it is now."""
        total, wait_seconds = self.total(now) + 1, 0.0
        for slot, amount in self._slots:
            if total <= limit:
                break
            total -= amount
            wait_seconds = (slot + 1) * _SLOT_SECONDS + _WINDOW_SECONDS - now
        return wait_seconds

    def clear(self) -> None:
        """Count nothing any more."""
        self._slots.clear()
