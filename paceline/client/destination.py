"""Where a client's calls go to, and how."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from paceline.client.connection import ConnectionSettings
from paceline.errors import ConfigError

ADDRESS_VARIABLE = "PACELINE_ADDRESS"
API_KEY_VARIABLE = "PACELINE_API_KEY"


@dataclass(frozen=True)
class Destination:
    """Orchestrators, HOST:PORT each, and how they are reached."""

    addresses: tuple[str, ...]
    connection: ConnectionSettings

    @classmethod
    def of(cls, addresses: str | Sequence[str], connection: ConnectionSettings) -> Self:
        """Return the orchestrators that a text with commas, or a sequence, names; raises ConfigError without any."""
        texts = addresses.split(",") if isinstance(addresses, str) else addresses
        found = tuple(text.strip() for text in texts if text.strip())
        if not found:
            raise ConfigError("give the address of an orchestrator, HOST:PORT", setting="addresses")
        return cls(found, connection)

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return what the variables of the `paceline` command name.

        PACELINE_ADDRESS, and where they are needed PACELINE_API_KEY or PACELINE_API_KEY_FILE, PACELINE_CA_FILE,
        PACELINE_CERTIFICATE_FILE, PACELINE_KEY_FILE, PACELINE_SERVER_NAME and PACELINE_INSECURE. Raises ConfigError.
        """

        def value(name: str) -> str | None:
            return environment.get(name) or None

        connection = ConnectionSettings.of(
            _key(value("PACELINE_API_KEY_FILE")) or value(API_KEY_VARIABLE),
            value("PACELINE_CA_FILE"),
            value("PACELINE_CERTIFICATE_FILE"),
            value("PACELINE_KEY_FILE"),
            value("PACELINE_SERVER_NAME"),
            is_insecure=(value("PACELINE_INSECURE") or "").lower() in {"1", "true", "yes", "on"},
        )
        addresses = value(ADDRESS_VARIABLE)
        if addresses is None:
            raise ConfigError(f"set {ADDRESS_VARIABLE} to HOST:PORT of an orchestrator", setting="addresses")
        return cls.of(addresses, connection)


def _key(path: str | None) -> str | None:
    return None if path is None else read_api_key(Path(path), "PACELINE_API_KEY_FILE")


def read_api_key(path: Path, setting: str) -> str:
    """Return the key that a file holds; raises ConfigError, which names the setting."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"{setting} {path} cannot be read: {cause}", setting="api_key_file") from error
