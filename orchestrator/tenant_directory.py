"""All tenants and their keys, found by the digest of a key."""

import hmac
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.tenant import Tenant

# The dictionary sees the beginning of a digest only; the rest is compared in constant time.
_BUCKET_BYTES = 8


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key of a tenant; `expires_at` is in seconds since 1970, None where it does not expire."""

    digest: bytes
    tenant: Tenant
    expires_at: float | None = None

    def is_expired(self, now: float) -> bool:
        """Return whether it is no longer good."""
        return self.expires_at is not None and now >= self.expires_at


class TenantDirectory:
    """The keys of all tenants."""

    def __init__(self, keys: Iterable[KnownKey]) -> None:
        self._buckets: dict[bytes, list[KnownKey]] = defaultdict(list)
        for key in keys:
            self._buckets[key.digest[:_BUCKET_BYTES]].append(key)

    def find(self, digest: bytes) -> KnownKey | None:
        """Return the key of a digest; None where there is none."""
        for key in self._buckets.get(digest[:_BUCKET_BYTES], ()):
            if hmac.compare_digest(key.digest, digest):
                return key
        return None

    @property
    def keys(self) -> list[KnownKey]:
        """All keys."""
        return [key for bucket in self._buckets.values() for key in bucket]

    @property
    def tenants(self) -> set[Tenant]:
        """All tenants."""
        return {key.tenant for key in self.keys}
