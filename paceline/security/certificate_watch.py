"""Certificates that somebody else replaces on disk while this process runs."""

import os
import threading
from typing import Any, NamedTuple

from paceline.errors import ConfigError
from paceline.security.certificate_reading import read_certificates
from paceline.security.certificates import CertificateFiles, Certificates, Role

# Files that are replaced one by one just now do not fit each other yet.
_MAX_ATTEMPTS = 5


class _Stamp(NamedTuple):
    """What changes when a file, or the symbolic link that leads to it, is replaced."""

    inode: int
    num_bytes: int
    changed_at_ns: int


class CertificateWatch:
    """Always the newest certificates of some files that can be used; any thread may ask.

    A look costs three `stat`. Files are read once they have changed; what cannot be used then is reported once, and
    the certificates before it stay.

    Raises ConfigError where the first ones cannot be used.
    """

    def __init__(self, files: CertificateFiles, role: Role) -> None:
        self._files = files
        self._role = role
        self._lock = threading.Lock()
        self._stamps, found = self._look()
        if isinstance(found, ConfigError):
            raise found
        self._newest = found

    def newest(self) -> Certificates:
        """Return the newest; the same object as before where they have not changed."""
        with self._lock:
            if self._stamps_now() != self._stamps:
                self._take_changes()
            return self._newest

    def _take_changes(self) -> None:
        self._stamps, found = self._look()
        if isinstance(found, ConfigError):
            _log().warning("certificates_not_renewed", role=self._role.value, message=found.message)
        elif found != self._newest:
            self._newest = found
            expires_at = None if found.own is None else found.own.expires_at.isoformat()
            _log().info("certificates_renewed", role=self._role.value, expires_at=expires_at)

    def _look(self) -> tuple[tuple[_Stamp | None, ...], Certificates | ConfigError]:
        """Return what the files hold or why it cannot be used, and the stamps that they had before they were read."""
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            stamps = self._stamps_now()
            try:
                return stamps, read_certificates(self._files, self._role)
            except ConfigError as error:
                if attempt == _MAX_ATTEMPTS or self._stamps_now() == stamps:
                    return stamps, error
        raise AssertionError("the last attempt returns")

    def _stamps_now(self) -> tuple[_Stamp | None, ...]:
        return tuple(_stamp(str(path)) for path in self._files.paths)


def _log() -> Any:
    # Only here: a client must not wait for it, nor need it as long as its certificates stay.
    import structlog  # noqa: PLC0415

    return structlog.get_logger()


def _stamp(path: str) -> _Stamp | None:
    try:
        status = os.stat(path)  # noqa: PTH116, it is looked at with each connection
    except OSError:
        return None
    return _Stamp(status.st_ino, status.st_size, status.st_mtime_ns)
