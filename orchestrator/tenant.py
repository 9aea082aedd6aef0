"""Who calls: a tenant, what it may do and how much."""

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a tenant may call: USER generates, OPERATOR everything else too."""

    USER = "user"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Quotas:
    """The most that a tenant may have or use, over all orchestrators; None is without a limit.

    Attributes:
        max_sessions: Sessions at once that run or wait for a place.
        requests_per_minute: Requests in any minute.
        tokens_per_minute: Tokens in any minute, prompts and generated ones, before the next request is refused.
        max_tokens: Tokens that one request generates a choice.
    """

    max_sessions: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_tokens: int | None = None

    @property
    def are_counted(self) -> bool:
        """Whether what the tenant uses must be counted."""
        return (self.max_sessions, self.requests_per_minute, self.tokens_per_minute) != (None, None, None)

    def capped_tokens(self, limit: int) -> int:
        """Return the most tokens of one request where others have `limit`."""
        return limit if self.max_tokens is None else min(limit, self.max_tokens)

    def capped_choices(self, limit: int) -> int:
        """Return the most choices of one request, each of which is a session, where others have `limit`."""
        return limit if self.max_sessions is None else min(limit, self.max_sessions)


@dataclass(frozen=True, slots=True)
class Tenant:
    """Somebody whose calls are told from those of others; `weight` is its part where places are scarce."""

    name: str
    role: Role = Role.USER
    weight: float = 1.0
    quotas: Quotas = Quotas()

    def may_continue(self, owner: str) -> bool:
        """Return whether it may go on with a session of the tenant `owner`.

        A session without an owner was begun where callers were not told apart: operators may go on with it.
        """
        return self is ANYBODY or owner == self.name or (not owner and self.role is Role.OPERATOR)


# Every caller, where there is no tenants file.
ANYBODY = Tenant("", Role.OPERATOR)

_caller: ContextVar[Tenant] = ContextVar("caller", default=ANYBODY)


def caller() -> Tenant:
    """Return whose call the running task serves."""
    return _caller.get()


def set_caller(tenant: Tenant) -> None:
    """Note whose call the running task serves; a call has a task, and so a context, of its own."""
    _caller.set(tenant)
