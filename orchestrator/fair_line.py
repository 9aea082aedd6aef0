"""The books of places: who has some, and who waits for some."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestrator.fair_share import Standing, Turns, crowding_tenant, next_tenant
from orchestrator.tenant import Tenant


@dataclass(eq=False, slots=True)
class Ticket:
    """A request of a tenant for places, all of which it gets at once."""

    tenant: str
    num_places: int
    arrival: int


@dataclass(slots=True)
class _Part:
    """What a tenant has and waits for."""

    weight: float
    running: set[Ticket] = field(default_factory=set)
    waiting: deque[Ticket] = field(default_factory=deque)
    num_running: int = 0  # places


class FairLine:
    """A fixed number of places, and the line of those who wait for them; it decides and does nothing else.

    Within a tenant who comes first is served first. The request that is next is not overtaken: where it wants more
    places than are free, they stay free until there are enough.
    """

    def __init__(self, num_places: int, max_waiting: int) -> None:
        self._num_places = num_places
        self._max_waiting = max_waiting
        self._turns = Turns()
        self._parts: dict[str, _Part] = {}  # of all tenants that ever wanted something
        self._num_arrivals = 0
        self.num_taken = 0

    @property
    def num_waiting(self) -> int:
        """Requests that wait."""
        return sum(len(part.waiting) for part in self._parts.values())

    def num_waiting_by_tenant(self) -> dict[str, int]:
        """Return the requests that wait, of each tenant that ever wanted something."""
        return {name: len(part.waiting) for name, part in list(self._parts.items())}

    def join(self, tenant: Tenant, num_places: int) -> Ticket:
        """Add a request; `serve` and `shorten` say what becomes of it."""
        part = self._parts.setdefault(tenant.name, _Part(tenant.weight))
        part.weight = tenant.weight  # it may have changed
        ticket = Ticket(tenant.name, num_places, self._num_arrivals)
        self._num_arrivals += 1
        part.waiting.append(ticket)
        return ticket

    def serve(self) -> Iterator[Ticket]:
        """Give out the places that are free, and yield who gets some."""
        while standings := self._standings():
            part = self._parts[next_tenant(standings)]
            ticket = part.waiting[0]
            if self.num_taken + ticket.num_places > self._num_places:
                return
            part.waiting.popleft()
            part.running.add(ticket)
            part.num_running += ticket.num_places
            self.num_taken += ticket.num_places
            self._turns.take(ticket.tenant, part.weight, ticket.num_places)
            yield ticket

    def shorten(self) -> Iterator[Ticket]:
        """Take out the requests that are too many to wait, the last ones of whoever has the most; yield them."""
        while self.num_waiting > self._max_waiting:
            yield self._parts[crowding_tenant(self._standings())].waiting.pop()

    def leave(self, ticket: Ticket) -> None:
        """Take a request out, whether it waits or has places; once is enough."""
        part = self._parts[ticket.tenant]
        if ticket in part.running:
            part.running.remove(ticket)
            part.num_running -= ticket.num_places
            self.num_taken -= ticket.num_places
        elif ticket in part.waiting:
            part.waiting.remove(ticket)

    def _standings(self) -> list[Standing]:
        return [
            Standing(
                name,
                part.weight,
                part.num_running,
                len(part.waiting),
                self._turns.of(name),
                part.waiting[0].arrival,
            )
            for name, part in self._parts.items()
            if part.waiting
        ]
