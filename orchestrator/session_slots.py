"""How many generations may run at once, and the line of those that wait for a place."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.fair_line import FairLine, Ticket
from orchestrator.handover import draining_error
from orchestrator.tenant import Tenant
from paceline.serving.errors import TooManySessionsError


@dataclass(frozen=True)
class SlotLimits:
    """How many generations may run, how many requests may wait for that, and for how long."""

    max_sessions: int
    max_waiting_requests: int
    waiting_seconds: float


class SessionSlots:
    """A fixed number of places, each taken for as long as a generation lives, and shared fairly between tenants."""

    def __init__(
        self, limits: SlotLimits, draining: asyncio.Event, note_wait: Callable[[str, float], None]
    ) -> None:
        self._limits = limits
        self._draining = draining
        self._note_wait = note_wait
        self._line = FairLine(limits.max_sessions, limits.max_waiting_requests)
        self._waiting: dict[Ticket, asyncio.Future[None]] = {}

    def num_waiting_by_tenant(self) -> dict[str, int]:
        """Return the requests that wait, of each tenant that ever wanted a place."""
        return self._line.num_waiting_by_tenant()

    async def take(self, tenant: Tenant, num_places: int) -> "Places":
        """Take places, as soon as it is the tenant's turn; a caller that is cancelled leaves the line.

        Raises TooManySessionsError where too many wait or it takes too long, and DrainingError.
        """
        if num_places > self._limits.max_sessions:
            raise self._refusal(num_places, "try with fewer choices")
        ticket = self._line.join(tenant, num_places)
        granted = self._waiting[ticket] = asyncio.get_running_loop().create_future()
        try:
            self._serve()
            if not granted.done():
                await self._wait(ticket, granted)
            granted.result()
        except BaseException:
            self.leave(ticket)
            raise
        finally:
            self._waiting.pop(ticket, None)
        return Places(self, ticket)

    def leave(self, ticket: Ticket) -> None:
        """Let others have the places of a request, or its place in the line."""
        self._line.leave(ticket)
        self._serve()

    def _serve(self) -> None:
        for ticket in self._line.serve():
            self._waiting[ticket].set_result(None)
        for ticket in self._line.shorten():
            refused = self._waiting[ticket]
            refused.set_exception(self._refusal(ticket.num_places, "try again when some have ended"))
            refused.exception()  # its caller may be gone already

    async def _wait(self, ticket: Ticket, granted: asyncio.Future[None]) -> None:
        started_at = time.monotonic()
        draining = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait(
                (granted, draining),
                timeout=self._limits.waiting_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            draining.cancel()
            self._note_wait(ticket.tenant, time.monotonic() - started_at)
        if granted.done():
            return
        if self._draining.is_set():
            raise draining_error()
        waited = f"none became free within {self._limits.waiting_seconds} s; try again later"
        raise self._refusal(ticket.num_places, waited)

    def _refusal(self, num_places: int, advice: str) -> TooManySessionsError:
        num_taken, max_sessions = self._line.num_taken, self._limits.max_sessions
        return TooManySessionsError(
            f"{num_taken} of {max_sessions} sessions are taken and {num_places} more are wanted; {advice}",
            max_sessions=max_sessions,
        )


class Places:
    """Places that one request has."""

    def __init__(self, slots: SessionSlots, ticket: Ticket) -> None:
        self._slots = slots
        self._ticket = ticket

    def give_back(self) -> None:
        """Give the places back; once is enough."""
        self._slots.leave(self._ticket)
