"""Options of the gateway are checked at the start."""

import pytest

from orchestrator.config import OrchestratorConfig
from paceline.errors import ConfigError
from paceline.serving.config import read_config

NEEDED = (
    *("--listen", "127.0.0.1:0", "--target-addresses", "127.0.0.1:1"),
    *("--redis-url", "redis://127.0.0.1", "--model", "m"),
)


def read(*arguments: str) -> OrchestratorConfig:
    return read_config(OrchestratorConfig, (*NEEDED, *arguments))


def test_there_is_no_gateway_unless_it_is_asked_for():
    config = read()
    assert (config.http_listen, config.http_cors_origins, config.http_playground) == (None, (), "on")


def test_origins_are_listed_with_commas():
    config = read("--http-cors-origins", "https://a.example, http://localhost:3000")
    assert config.http_cors_origins == ("https://a.example", "http://localhost:3000")
    assert read("--http-cors-origins", "*").http_cors_origins == ("*",)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--http-listen", "8000"),
        ("--http-listen", "unix:/run/x.sock"),
        ("--http-cors-origins", "a.example"),
        ("--http-cors-origins", "https://a.example/path"),
        ("--http-playground", "maybe"),
        ("--http-max-connections", "0"),
        ("--http-client-seconds", "0"),
    ],
)
def test_what_cannot_be_used_is_named(flag, value):
    with pytest.raises(ConfigError, match=flag):
        read(flag, value)
