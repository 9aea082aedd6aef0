"""Certificates that can be used are read; of any other a sentence says which file is wrong and what to do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from paceline.errors import ConfigError
from paceline.security.certificate_reading import read_certificates
from paceline.security.certificates import CertificateFiles, Role
from tests.certificates import Authority, Issued, MountedSecret

AUTHORITY = Authority()
ISSUED = AUTHORITY.issue("paceline-target", "*.paceline.svc")


def mount(directory: Path, issued: Issued) -> CertificateFiles:
    return MountedSecret(directory / "secret", issued).files


@pytest.mark.parametrize("role", Role)
def test_a_certificate_comes_with_its_names_and_its_end(tmp_path: Path, role: Role) -> None:
    certificates = read_certificates(mount(tmp_path, ISSUED), role)
    own = certificates.own
    assert own is not None
    assert (own.chain, own.key, certificates.ca) == (ISSUED.chain, ISSUED.key, AUTHORITY.pem)
    assert own.names == ("paceline-target", "*.paceline.svc")
    assert "PRIVATE" not in repr(certificates)


def test_a_client_needs_no_certificate_of_its_own(tmp_path: Path) -> None:
    files = replace(mount(tmp_path, ISSUED), own=None)
    assert read_certificates(files, Role.CLIENT).own is None


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda issued: AUTHORITY.issue_expired("paceline-target"), ["tls.crt", "has expired", "renew"]),
        (
            lambda issued: replace(issued, key=AUTHORITY.issue("b").key),
            ["tls.key", "does not belong", "tls.crt"],
        ),
        (lambda issued: replace(issued, key=b"no key"), ["tls.key", "private key in PEM form"]),
        (lambda issued: replace(issued, key=issued.key[:60]), ["tls.key", "private key in PEM form"]),
        (lambda issued: replace(issued, chain=b"no certificate"), ["tls.crt", "BEGIN CERTIFICATE"]),
        (lambda issued: replace(issued, chain=b""), ["tls.crt", "BEGIN CERTIFICATE"]),
        (lambda issued: replace(issued, chain=b"\xff\x30"), ["tls.crt", "BEGIN CERTIFICATE"]),
        (lambda issued: replace(issued, ca=b"no certificate"), ["ca.crt", "BEGIN CERTIFICATE"]),
    ],
)
def test_what_cannot_be_used_is_named_with_what_to_do(
    tmp_path: Path, spoil: Callable[[Issued], Issued], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_certificates(mount(tmp_path, spoil(ISSUED)), Role.SERVER)
    assert [word for word in words if word not in caught.value.message] == []
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", ["tls.crt", "tls.key", "ca.crt"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    files = mount(tmp_path, ISSUED)
    (tmp_path / "secret" / name).unlink()
    with pytest.raises(ConfigError, match=rf"{name} cannot be read .*: mount the Secret"):
        read_certificates(files, Role.SERVER)
