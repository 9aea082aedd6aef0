"""Whose turn it is where places are scarce: weighted max-min fairness between tenants.

A free place goes to the tenant that has the fewest for its weight. So nobody who wants a place is without one while
another tenant takes a second, and who wants less than its part leaves the rest to the others. Of tenants that stand
equal, the one whose last places are the longest behind it, counted in places by weight, is next: over time they take
turns in the proportion of their weights (start-time fair queueing: Goyal, Vin, Cheng 1996), even at a single place.

Example: weights 1 and 3, both with many requests waiting, eight places: they come to 2 and 6.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Standing(NamedTuple):
    """How a tenant that waits stands.

    Attributes:
        tenant: Its name.
        weight: Its part, greater than 0.
        num_running: Places that it has.
        num_waiting: Requests of it that wait, at least one.
        turn: When its next turn is, on the clock that `Turns` keeps.
        arrival: The number of its request that came first of those that wait.
    """

    tenant: str
    weight: float
    num_running: int
    num_waiting: int
    turn: float
    arrival: int


def next_tenant(standings: Iterable[Standing]) -> str:
    """Return the tenant whose first request gets the next place."""
    return min(standings, key=lambda one: (one.num_running / one.weight, one.turn, one.arrival)).tenant


def crowding_tenant(standings: Iterable[Standing]) -> str:
    """Return the tenant whose last request leaves a line that is too long: the one with the most for its weight."""
    return max(standings, key=lambda one: (one.num_waiting / one.weight, one.arrival)).tenant


class Turns:
    """When each tenant's next turn is, on a clock that goes on by one where a tenant of weight one gets a place.

    Who has asked for nothing for a while does not save up turns for it.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._next: dict[str, float] = {}

    def of(self, tenant: str) -> float:
        """Return a tenant's next turn."""
        return max(self._now, self._next.get(tenant, 0.0))

    def take(self, tenant: str, weight: float, num_places: int) -> None:
        """Note that a tenant gets places in its turn."""
        self._now = self.of(tenant)
        self._next[tenant] = self._now + num_places / weight
