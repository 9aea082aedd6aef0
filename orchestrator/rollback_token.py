"""Rollback tokens: one opaque, signed string names a committed point of a session."""

import base64
import binascii
import hmac
import struct
from typing import NamedTuple

from orchestrator.errors import InvalidRollbackTokenError
from paceline.rounds import DIGEST_BYTES

KEY_BYTES = 32
_MAX_KEYS = 4
_VERSION = 1
_SIGNATURE_BYTES = 18  # so that all is 63 bytes, which base64 needs no padding for
# Version, session id (a UUID), epoch, position, digest of the ids before it.
_FIELDS = struct.Struct(f"<B16sQI{DIGEST_BYTES}s")
_NUM_BYTES = _FIELDS.size + _SIGNATURE_BYTES


class RollbackToken(NamedTuple):
    """A committed point: the first `position` ids of a session, whose digest is `digest`, under an epoch."""

    session_id: str  # a UUID as 32 hex digits
    epoch: int
    position: int
    digest: bytes  # `paceline.rounds.prefix_digest` of the ids


class TokenSigner:
    """Writes tokens with the latest key and reads those of every key that it has had.

    The signature is HMAC-SHA256 (RFC 2104), cut to 18 bytes, over all other bytes.
    """

    def __init__(self, *keys: bytes) -> None:
        self._signatures = {key: _signature_of(key) for key in keys}

    @property
    def key(self) -> bytes | None:
        """The key that signs; None before `use`."""
        return next(reversed(self._signatures), None)

    def use(self, key: bytes) -> None:
        """Sign with a key, at least KEY_BYTES, from now on; it has to be there before the first token."""
        assert len(key) >= KEY_BYTES
        others = {one: signature for one, signature in self._signatures.items() if one != key}
        known = [*others.items(), (key, _signature_of(key))]
        self._signatures = dict(known[-_MAX_KEYS:])

    def write(self, token: RollbackToken) -> str:
        """Return a token as text of 84 characters that may stand in a URL."""
        session = bytes.fromhex(token.session_id)
        fields = _FIELDS.pack(_VERSION, session, token.epoch, token.position, token.digest)
        assert self.key is not None, "use comes first"
        return _encoded(fields + _signed(self._signatures[self.key], fields))

    def read(self, text: str) -> RollbackToken:
        """Return the token of a text; raises InvalidRollbackTokenError for one that nobody with the key has written."""
        data = _decoded(text)
        fields, signature = data[: _FIELDS.size], data[_FIELDS.size :]
        is_ours = any(
            hmac.compare_digest(signature, _signed(begun, fields)) for begun in self._signatures.values()
        )
        if len(data) != _NUM_BYTES or not is_ours:
            raise InvalidRollbackTokenError("it was not issued by these orchestrators, or it was changed")
        version, session, epoch, position, digest = _FIELDS.unpack(fields)
        if version != _VERSION:
            raise InvalidRollbackTokenError(
                f"it is of version {version}, which this orchestrator does not know"
            )
        return RollbackToken(session.hex(), epoch, position, digest)


def _signature_of(key: bytes) -> hmac.HMAC:
    """Return a signature that is begun: the key's share of the work is done once, and not for every token."""
    return hmac.new(key, digestmod="sha256")


def _signed(begun: hmac.HMAC, fields: bytes) -> bytes:
    signature = begun.copy()
    signature.update(fields)
    return signature.digest()[:_SIGNATURE_BYTES]


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


def _decoded(text: str) -> bytes:
    """Return the bytes of a text; none where it is not just as `_encoded` writes them."""
    try:
        data = base64.urlsafe_b64decode(text)
    except (binascii.Error, ValueError):
        return b""
    return data if _encoded(data) == text else b""
