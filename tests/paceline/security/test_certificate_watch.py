"""Certificates are the newest usable ones, whatever happens to their files."""

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from paceline.errors import ConfigError
from paceline.security.certificate_watch import CertificateWatch
from paceline.security.certificates import Certificates, Role
from tests.certificates import Authority, MountedSecret

OLD, NEW = Authority(), Authority()
FIRST = OLD.issue("first")
SECOND = NEW.issue("second")


def names(certificates: Certificates) -> tuple[str, ...]:
    assert certificates.own is not None
    return certificates.own.names


@pytest.fixture
def secret(tmp_path: Path) -> MountedSecret:
    return MountedSecret(tmp_path / "secret", FIRST)


@pytest.fixture
def watch(secret: MountedSecret) -> CertificateWatch:
    return CertificateWatch(secret.files, Role.SERVER)


def test_nothing_new_is_the_same_object(secret: MountedSecret, watch: CertificateWatch) -> None:
    first = watch.newest()
    assert watch.newest() is first
    secret.replace(FIRST)  # as a kubelet does when only another key of the Secret has changed
    assert watch.newest() is first


def test_replaced_files_are_read_again(secret: MountedSecret, watch: CertificateWatch) -> None:
    secret.replace(SECOND)
    assert names(watch.newest()) == ("second",)
    assert watch.newest().ca == NEW.pem


def test_a_file_that_is_written_over_is_read_again(tmp_path: Path) -> None:
    secret = MountedSecret(tmp_path / "secret", FIRST)
    watch = CertificateWatch(secret.files, Role.SERVER)
    secret.files.ca.write_bytes(OLD.pem + NEW.pem)
    assert watch.newest().ca == OLD.pem + NEW.pem


def test_a_pair_that_does_not_fit_keeps_the_last_good_one_and_is_reported_once(
    secret: MountedSecret, watch: CertificateWatch
) -> None:
    good = watch.newest()
    with capture_logs() as lines:
        secret.replace(replace(SECOND, key=FIRST.key))
        assert [watch.newest() for _ in range(3)] == [good] * 3
        secret.replace(SECOND)
        assert names(watch.newest()) == ("second",)
    assert [line["event"] for line in lines] == ["certificates_not_renewed", "certificates_renewed"]
    assert "does not belong" in lines[0]["message"]


def test_files_that_are_gone_for_a_while_change_nothing(
    secret: MountedSecret, watch: CertificateWatch
) -> None:
    good = watch.newest()
    data = secret.directory / "..data"
    moved = data.rename(secret.directory / "..elsewhere")
    assert watch.newest() is good
    moved.rename(data)
    assert watch.newest() is good


def test_an_expired_certificate_does_not_replace_a_good_one(
    secret: MountedSecret, watch: CertificateWatch
) -> None:
    good = watch.newest()
    secret.replace(NEW.issue_expired("second"))
    assert watch.newest() is good


def test_there_is_no_beginning_without_usable_ones(secret: MountedSecret) -> None:
    secret.replace(OLD.issue_expired("first"))
    with pytest.raises(ConfigError, match="has expired"):
        CertificateWatch(secret.files, Role.SERVER)
