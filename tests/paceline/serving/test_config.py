"""Settings from flags and environment: valid ones freeze, wrong ones say what to do."""

import os
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from paceline.errors import ConfigError, PacelineError
from paceline.security.certificates import CertificateFiles, OwnFiles
from paceline.serving.config import (
    Addresses,
    ModelServiceConfig,
    exiting_with_a_sentence,
    pin_to_cores,
    read_config,
)


class ExampleConfig(ModelServiceConfig):
    """An example."""

    program: ClassVar[str] = "example"
    model_config = SettingsConfigDict(env_prefix="EXAMPLE_")

    peers: Addresses = ()


REQUIRED = ["--listen", "127.0.0.1:7001", "--model", "m"]
CERTIFICATES = ["--tls-certificate-file", "c", "--tls-key-file", "k", "--tls-ca-file", "a"]


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_KV_CACHE_MIB", "7")
    monkeypatch.setenv("EXAMPLE_CORES", "0,1")
    monkeypatch.setenv("EXAMPLE_MAX_SESSIONS", "5")
    config = read_config(ExampleConfig, [*REQUIRED, "--kv-cache-mib", "9", "--peers", "a:1,b:2"])
    assert (config.kv_cache_mib, config.cores, config.max_sessions) == (9, (0, 1), 5)
    assert config.peers == ("a:1", "b:2")


def test_certificates_ask_callers_for_theirs_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_TLS_PEER_NAMES", "a.svc, *.b.svc")
    config = read_config(ExampleConfig, [*REQUIRED, *CERTIFICATES])
    assert (config.tls_clients, config.tls_peer_names) == ("require", ("a.svc", "*.b.svc"))
    assert config.certificate_files == CertificateFiles(Path("a"), OwnFiles(Path("c"), Path("k")))


def test_a_configuration_does_not_change() -> None:
    config = read_config(ExampleConfig, REQUIRED)
    with pytest.raises(ValidationError):
        config.listen = "b:1"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "m"], ["--listen", "EXAMPLE_LISTEN", "required"]),
        ([*REQUIRED, "--listen", "nowhere"], ["--listen", "nowhere", "HOST:PORT"]),
        ([*REQUIRED, "--listen", "a:70000"], ["--listen", "a:70000"]),
        ([*REQUIRED, "--kv-cache-mib", "much"], ["--kv-cache-mib", "much", "integer"]),
        ([*REQUIRED, "--weights", "int3"], ["--weights", "int3", "int8"]),
        ([*REQUIRED, "--kv-precision", "u3"], ["--kv-precision", "u3", "u8", "u4"]),
        (
            [*REQUIRED, "--kv-cache-update", "some"],
            ["--kv-cache-update", "some", "keep", "partial", "rebuild"],
        ),
        ([*REQUIRED, "--cores", "0,x"], ["--cores", "x"]),
        ([*REQUIRED, "--peers", "a:1,b"], ["--peers", "b"]),
        (
            [*REQUIRED, "--tls-key-file", "k"],
            ["go together", "give --tls-certificate-file and --tls-ca-file too"],
        ),
        ([*REQUIRED, "--tls-peer-names", "a.svc"], ["--tls-peer-names", "give certificates"]),
        ([*REQUIRED, "--tls-peer-names", "a.*.svc"], ["--tls-peer-names", "a.*.svc", "*."]),
        (
            [*REQUIRED, *CERTIFICATES, "--tls-peer-names", "a", "--tls-clients", "accept"],
            ["--tls-clients require"],
        ),
        ([*REQUIRED, "--health-listen", "7101"], ["--health-listen", "HOST:PORT"]),
        ([*REQUIRED, "--unheard-of", "1"], ["--unheard-of", "--help"]),
        ([*REQUIRED, "--cores"], ["--cores", "--help"]),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_wrong(arguments: list[str], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(ExampleConfig, arguments)
    assert [word for word in words if word not in caught.value.message] == []
    assert "\n" not in caught.value.message


def test_a_wrong_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_GRACE_SECONDS", "-1")
    with pytest.raises(ConfigError, match="EXAMPLE_GRACE_SECONDS"):
        read_config(ExampleConfig, REQUIRED)


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read_config(ExampleConfig, ["--help"])
    assert caught.value.code == 0
    page = capsys.readouterr().out
    flags = ["--" + name.replace("_", "-") for name in ExampleConfig.model_fields]
    assert [flag for flag in flags if flag not in page] == []


def test_a_core_that_is_not_there_is_refused_and_nothing_is_pinned() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(ConfigError, match="4095"):
        pin_to_cores((min(before), 4095))
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize(("error", "code"), [(ConfigError("no"), 2), (PacelineError("no"), 1)])
def test_an_error_at_start_is_one_sentence_and_a_code(
    error: PacelineError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught, exiting_with_a_sentence("example"):
        raise error
    assert caught.value.code == code
    assert capsys.readouterr().err == "example: no\n"
