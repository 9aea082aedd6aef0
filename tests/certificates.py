"""Authorities of our own, and certificates in files as kubelets mount Secrets."""

import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from paceline.client.connection import ConnectionSettings
from paceline.security.certificates import CertificateFiles, OwnFiles

DAY = timedelta(days=1)
FILES = ("tls.crt", "tls.key", "ca.crt")


@dataclass(frozen=True)
class Issued:
    """A certificate, its key, and the authorities to mount beside them, PEM."""

    chain: bytes
    key: bytes
    ca: bytes

    def trusting(self, *authorities: "Authority") -> "Issued":
        return Issued(self.chain, self.key, b"".join(one.pem for one in authorities))


@dataclass
class Authority:
    _ca: trustme.CA = field(default_factory=trustme.CA)

    @property
    def pem(self) -> bytes:
        return self._ca.cert_pem.bytes()

    def issue(self, *names: str) -> Issued:
        return self._issue(names, datetime.now(UTC) + DAY)

    def issue_expired(self, *names: str) -> Issued:
        return self._issue(names, datetime.now(UTC) - DAY)

    def _issue(self, names: tuple[str, ...], not_after: datetime) -> Issued:
        leaf = self._ca.issue_cert(*names, not_before=not_after - 10 * DAY, not_after=not_after)
        chain = b"".join(one.bytes() for one in leaf.cert_chain_pems)
        return Issued(chain, leaf.private_key_pem.bytes(), self.pem)


class MountedSecret:
    """The volume of a Secret, as a kubelet writes it: links through one link that moves, so that all change at once."""

    def __init__(self, directory: Path, issued: Issued) -> None:
        self.directory = directory
        self._num_versions = 0
        directory.mkdir(parents=True)
        self.replace(issued)
        for name in FILES:
            (directory / name).symlink_to(Path("..data") / name)

    def replace(self, issued: Issued) -> None:
        self._num_versions += 1
        version = self.directory / f"..{self._num_versions}"
        version.mkdir()
        for name, content in zip(FILES, (issued.chain, issued.key, issued.ca), strict=True):
            (version / name).write_bytes(content)
        link = self.directory / "..data_tmp"
        link.symlink_to(version.name)
        link.replace(self.directory / "..data")
        shutil.rmtree(self.directory / f"..{self._num_versions - 1}", ignore_errors=True)

    @property
    def files(self) -> CertificateFiles:
        certificate, key, ca = (self.directory / name for name in FILES)
        return CertificateFiles(ca, OwnFiles(certificate, key))

    @property
    def options(self) -> dict[str, Path]:
        """Options of a service, by field."""
        certificate, key, ca = (self.directory / name for name in FILES)
        return {"tls_certificate_file": certificate, "tls_key_file": key, "tls_ca_file": ca}

    @property
    def flags(self) -> tuple[str, ...]:
        """Options of a service, as a command line has them."""
        return tuple(
            part for name, path in self.options.items() for part in (f"--{name.replace('_', '-')}", str(path))
        )

    def connection(self, server_name: str | None = None, *, is_named: bool = True) -> ConnectionSettings:
        """How a client connects with these files, with or without its own certificate."""
        return ConnectionSettings(self.files.ca, self.files.own if is_named else None, server_name)
