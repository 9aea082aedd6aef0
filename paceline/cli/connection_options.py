"""The options with which commands connect: the same for all of them."""

import os
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from paceline.cli.option_group import with_options
from paceline.client.connection import ConnectionSettings
from paceline.client.destination import API_KEY_VARIABLE, read_api_key

PANEL = "Connection"

# Of commands whose streams outlive an orchestrator.
Orchestrators: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="HOST:PORT of orchestrators, with commas between them; a stream that breaks goes on at the next. "
        "The cluster of `paceline up` if not given.",
        envvar="PACELINE_ADDRESS",
    ),
]


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
    return ConnectionSettings.of(
        _api_key(api_key_file), ca_file, certificate_file, key_file, server_name, is_insecure=is_insecure
    )


# Gives a command these options; they reach it as one argument, `connection`.
with_connection_options = with_options(connection_settings, "connection")


def _api_key(path: Path | None) -> str | None:
    if path is None:
        return os.environ.get(API_KEY_VARIABLE) or None
    return read_api_key(path, "--api-key-file")
