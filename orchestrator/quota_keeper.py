"""The quotas of tenants: requests are admitted within them, and what they use is counted beside them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from orchestrator.errors import QuotaExceededError, SessionStoreUnavailableError
from orchestrator.quota_account import QuotaAccount
from orchestrator.quota_store import QuotaStore, Usage, UsedUp
from orchestrator.tenant import Quotas, Tenant

# What has been used is told to Redis so often, and with each request of the tenant.
_SETTLE_SECONDS = 0.5
_RENEWALS_PER_LEASE = 3
# When sessions of a tenant end is not known.
_UNKNOWN_WAIT_SECONDS = 1.0
# Lua takes some thousands of arguments.
_SESSIONS_A_CALL = 1000

_log = structlog.get_logger()


@dataclass(frozen=True)
class _Bar:
    """A quota that is used up for a while, whatever happens: requests need not ask Redis until then."""

    quotas: Quotas
    quota: str
    until: float


class QuotaKeeper:
    """Holds tenants to their quotas over all orchestrators of one Redis.

    Where Redis does not answer at once, requests are held to what this orchestrator has counted alone, so that nobody
    is refused, or waits, for Redis' sake.
    """

    def __init__(
        self, store: QuotaStore, lease_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._renewal_seconds = lease_seconds / _RENEWALS_PER_LEASE
        self._clock = clock
        self._accounts: dict[str, QuotaAccount] = {}
        self._bars: dict[str, _Bar] = {}
        self._is_alone = False

    def check(self, tenant: Tenant) -> None:
        """Raise QuotaExceededError where it is known already that a request would be refused; costs next to nothing."""
        bar = self._bars.get(tenant.name)
        if bar is None:
            return
        wait_seconds = bar.until - self._clock()
        if wait_seconds > 0 and bar.quotas == tenant.quotas:
            raise _refusal(tenant, UsedUp(bar.quota, wait_seconds))
        del self._bars[tenant.name]

    async def admit(self, tenant: Tenant, session_ids: Sequence[str], *, is_resumed: bool) -> "QuotaHold":
        """Count a request and its sessions; raises QuotaExceededError where a quota is used up.

        A session that is resumed was admitted when it began: only its being there again is held to a quota.
        """
        if not tenant.quotas.are_counted:
            return QuotaHold(self, tenant, None, ())
        quotas = tenant.quotas
        if is_resumed:
            quotas = replace(quotas, requests_per_minute=None, tokens_per_minute=None)
        account = self._accounts.setdefault(tenant.name, QuotaAccount())
        held = tuple(session_ids) if quotas.max_sessions is not None else ()
        used_up = await self._ask(tenant.name, account, quotas, held)
        if used_up is not None:
            if used_up.wait_seconds > 0:
                until = self._clock() + used_up.wait_seconds
                self._bars[tenant.name] = _Bar(tenant.quotas, used_up.quota, until)
            raise _refusal(tenant, used_up)
        account.begin(held)
        return QuotaHold(self, tenant, account, held)

    async def run(self) -> None:
        """Tell Redis what was used, and keep the sessions that run counted, until cancelled."""
        renewed_at = self._clock()
        while True:
            await asyncio.sleep(min(_SETTLE_SECONDS, self._renewal_seconds))
            is_due = self._clock() - renewed_at >= self._renewal_seconds
            if is_due:
                renewed_at = self._clock()
            await self.settle(renews=is_due)

    async def settle(self, *, renews: bool = False) -> None:
        """Tell Redis what has been used, with `renews` also which sessions still run."""
        await asyncio.gather(
            *(self.settle_one(name, account, renews=renews) for name, account in self._accounts.items())
        )

    async def settle_one(self, name: str, account: QuotaAccount, *, renews: bool = False) -> None:
        """Do the same for one tenant; where Redis does not answer it is done later."""
        sessions = account.sessions if renews else []
        if not sessions and not account.has_untold:
            return
        now = self._clock()
        usage = account.take_untold(now)
        try:
            await self._store.settle(name, usage, sessions[:_SESSIONS_A_CALL])
            for first in range(_SESSIONS_A_CALL, len(sessions), _SESSIONS_A_CALL):
                await self._store.settle(name, Usage(), sessions[first : first + _SESSIONS_A_CALL])
        except BaseException as error:
            account.put_back(now, usage)
            if not isinstance(error, SessionStoreUnavailableError):
                raise
            self._note_alone(error.message)
        else:
            self._note_together()

    def spend(self, account: QuotaAccount, num_tokens: int) -> None:
        """Count tokens; Redis is told later."""
        account.add_tokens(self._clock(), num_tokens)

    async def _ask(
        self, name: str, account: QuotaAccount, quotas: Quotas, held: Sequence[str]
    ) -> UsedUp | None:
        """Return the quota that is used up, None where the request is counted."""
        now = self._clock()
        usage = account.take_untold(now)
        try:
            used_up = await self._store.admit(name, quotas, usage, held)
        except BaseException as error:
            # Redis may have taken in all of it: then the sessions have to go again, unless they begin here.
            account.put_back(now, usage._replace(ended_sessions=(*usage.ended_sessions, *held)))
            if not isinstance(error, SessionStoreUnavailableError):
                raise
            self._note_alone(error.message)
            used_up, is_told = account.used_up(now, quotas, held), False
        else:
            self._note_together()
            is_told = True
        if used_up is None:
            account.add_request(now, is_told=is_told)
        return used_up

    def _note_alone(self, message: str) -> None:
        if not self._is_alone:
            self._is_alone = True
            _log.warning("quotas_counted_alone", message=message)

    def _note_together(self) -> None:
        if self._is_alone:
            self._is_alone = False
            _log.info("quotas_counted_together")


class QuotaHold:
    """What a request that was admitted uses, until `end`."""

    def __init__(
        self, keeper: QuotaKeeper, tenant: Tenant, account: QuotaAccount | None, held: Sequence[str]
    ) -> None:
        self._keeper = keeper
        self._tenant = tenant
        self._account = account
        self._held = held

    def spend(self, num_tokens: int) -> None:
        """Count tokens against later requests; this one goes on."""
        if self._account is not None and self._tenant.quotas.tokens_per_minute is not None:
            self._keeper.spend(self._account, num_tokens)

    async def end(self) -> None:
        """Let others have its sessions; once is enough."""
        held, self._held = self._held, ()
        if self._account is not None and held:
            self._account.end(held)
            # The client's next request may come to another orchestrator at once.
            await self._keeper.settle_one(self._tenant.name, self._account)


def _refusal(tenant: Tenant, used_up: UsedUp) -> QuotaExceededError:
    limit = getattr(tenant.quotas, used_up.quota)
    return QuotaExceededError(
        tenant.name, used_up.quota, limit, used_up.wait_seconds or _UNKNOWN_WAIT_SECONDS
    )
