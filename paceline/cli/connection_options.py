"""The options with which commands connect: the same for all of them."""

import inspect
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from paceline.client.connection import ConnectionSettings
from paceline.errors import ConfigError
from paceline.security.certificates import OwnFiles

API_KEY_VARIABLE = "PACELINE_API_KEY"
PANEL = "Connection"


def connection_settings(
    *,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            help="Certificates of the authorities that the server's may be of, PEM; makes it a TLS connection.",
            envvar="PACELINE_CA_FILE",
            rich_help_panel=PANEL,
        ),
    ] = None,
    certificate_file: Annotated[
        Path | None,
        typer.Option(
            help="Our own certificate, PEM, for services that want one.",
            envvar="PACELINE_CERTIFICATE_FILE",
            rich_help_panel=PANEL,
        ),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(help="Its key, PEM.", envvar="PACELINE_KEY_FILE", rich_help_panel=PANEL),
    ] = None,
    server_name: Annotated[
        str | None,
        typer.Option(
            help="Name that the server's certificate is for, where that is not the host of the address.",
            envvar="PACELINE_SERVER_NAME",
            rich_help_panel=PANEL,
        ),
    ] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            help=f"File with the API key; or set {API_KEY_VARIABLE}.",
            envvar="PACELINE_API_KEY_FILE",
            rich_help_panel=PANEL,
        ),
    ] = None,
    is_insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Let the API key go over a network in plain text.",
            envvar="PACELINE_INSECURE",
            rich_help_panel=PANEL,
        ),
    ] = False,
) -> ConnectionSettings:
    """Return what the options stand for; raises ConfigError where they contradict each other."""
    return ConnectionSettings(
        ca_file, _own_files(certificate_file, key_file), server_name, _api_key(api_key_file), is_insecure
    )


def with_connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options; they reach it as one argument, `connection`."""
    own = inspect.signature(command)
    options = inspect.signature(connection_settings).parameters

    @wraps(command)
    def run(**values: Any) -> None:
        given = {name: values.pop(name) for name in options}
        command(**values, connection=connection_settings(**given))

    parameters = [*(one for one in own.parameters.values() if one.name != "connection"), *options.values()]
    # typer reads the options from these.
    run.__signature__ = own.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _own_files(certificate_file: Path | None, key_file: Path | None) -> OwnFiles | None:
    if certificate_file is None and key_file is None:
        return None
    if certificate_file is None or key_file is None:
        missing = "--certificate-file" if certificate_file is None else "--key-file"
        raise ConfigError(
            f"a certificate and its key go together: give {missing} too", setting="certificate_file"
        )
    return OwnFiles(certificate_file, key_file)


def _api_key(path: Path | None) -> str | None:
    if path is None:
        return os.environ.get(API_KEY_VARIABLE) or None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"--api-key-file {path} cannot be read: {cause}", setting="api_key_file") from error
