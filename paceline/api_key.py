"""Keys that clients show: drawn at random, and known to servers by their digests only."""

import hashlib
import secrets

# So that a scanner for leaked secrets, or a reader of a log, sees what it is.
API_KEY_PREFIX = "pl_"
_SECRET_BYTES = 32


def new_api_key() -> str:
    """Return a key that nobody has had before: the prefix and 43 characters."""
    return API_KEY_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def api_key_digest(key: str) -> bytes:
    """Return the SHA-256 of a key, 32 bytes. Keys are random, so that a slow hash would protect nothing more."""
    return hashlib.sha256(key.encode()).digest()
