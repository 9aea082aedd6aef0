"""Who may generate: a tenant within its quotas, as soon as there is a place for it."""

from collections.abc import Sequence

from orchestrator.closings import Closings
from orchestrator.errors import QuotaExceededError
from orchestrator.quota_keeper import QuotaHold, QuotaKeeper
from orchestrator.refusals import Refusals
from orchestrator.session_slots import Places, SessionSlots
from orchestrator.tenant import Tenant
from paceline.serving.errors import TooManySessionsError


class Admission:
    """Admits requests, or refuses them and takes that down; what must end in any case ends in `closings`."""

    def __init__(
        self, quotas: QuotaKeeper, slots: SessionSlots, refusals: Refusals, closings: Closings
    ) -> None:
        self._quotas = quotas
        self._slots = slots
        self._refusals = refusals
        self._closings = closings

    def check(self, tenant: Tenant) -> None:
        """Raise QuotaExceededError where a request need not even be read."""
        try:
            self._quotas.check(tenant)
        except QuotaExceededError as error:
            self._refusals.note(tenant.name, error)
            raise

    async def admit(self, tenant: Tenant, session_ids: Sequence[str], *, is_resumed: bool) -> "Admitted":
        """Wait for places for a request's sessions.

        Raises QuotaExceededError, TooManySessionsError or DrainingError.
        """
        try:
            hold = await self._quotas.admit(tenant, session_ids, is_resumed=is_resumed)
            try:
                places = await self._slots.take(tenant, len(session_ids))
            except BaseException:
                await self._closings.run(hold.end())
                raise
        except (QuotaExceededError, TooManySessionsError) as error:
            self._refusals.note(tenant.name, error)
            raise
        return Admitted(hold, places)


class Admitted:
    """A request that may generate until `end`."""

    def __init__(self, hold: QuotaHold, places: Places) -> None:
        self._hold = hold
        self._places = places

    def spend(self, num_tokens: int) -> None:
        """Count tokens that it uses."""
        self._hold.spend(num_tokens)

    async def end(self) -> None:
        """Let others have what it had; once is enough."""
        self._places.give_back()
        await self._hold.end()
