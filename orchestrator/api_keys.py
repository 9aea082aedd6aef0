"""Who calls, by the API key that comes with the call; over gRPC and HTTP alike."""

import time
from collections.abc import Callable

from orchestrator.errors import (
    ApiKeyExpiredError,
    ApiKeyInvalidError,
    ApiKeyMissingError,
    RoleNotAllowedError,
)
from orchestrator.tenant import Role, Tenant
from orchestrator.tenants_file import TenantsFile
from paceline.api_key import api_key_digest

# The name of the header, and of gRPC's metadata.
HEADER = "authorization"
_SCHEME = "bearer"


class ApiKeys:
    """The keys of all tenants."""

    def __init__(self, tenants: TenantsFile, clock: Callable[[], float] = time.time) -> None:
        self._tenants = tenants
        self._clock = clock

    def tenant(self, header: str | None, needed_role: Role) -> Tenant:
        """Return whose call it is that has an authorization header.

        Raises ApiKeyMissingError, ApiKeyInvalidError, ApiKeyExpiredError, or RoleNotAllowedError where the call is not
        for the tenant.
        """
        key = _key_in(header)
        if key is None:
            raise ApiKeyMissingError
        known = self._tenants.directory.find(api_key_digest(key))
        if known is None:
            raise ApiKeyInvalidError
        if known.is_expired(self._clock()):
            raise ApiKeyExpiredError(known.tenant.name)
        tenant = known.tenant
        if needed_role is Role.OPERATOR and tenant.role is not Role.OPERATOR:
            raise RoleNotAllowedError(tenant.name, tenant.role, needed_role)
        return tenant


def _key_in(header: str | None) -> str | None:
    """Example: `Bearer pl_abc` has the key `pl_abc`; another scheme has none."""
    scheme, _, key = (header or "").partition(" ")
    return key.strip() or None if scheme.lower() == _SCHEME else None
