"""How a command ends when it cannot do what it was asked: a sentence and an exit code."""

from collections.abc import Generator
from contextlib import contextmanager

import typer

from paceline.errors import ConfigError, InvalidRequestError, PacelineError

FAILURE_EXIT_CODE = 1
USAGE_EXIT_CODE = 2
INTERRUPTED_EXIT_CODE = 130
USAGE_REASONS = {ConfigError.reason, InvalidRequestError.reason, "UNKNOWN_MODEL"}


@contextmanager
def failures_explained() -> Generator[None]:
    """Turn a failure inside a `with` into its sentence on the error stream and an exit code."""
    try:
        yield
    except PacelineError as error:
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        raise typer.Exit(exit_code_of(error)) from error
    except KeyboardInterrupt as interrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED_EXIT_CODE) from interrupt


def exit_code_of(error: PacelineError) -> int:
    """Return 128 + n for a stop signal, 2 where the command line was wrong, else 1."""
    own = getattr(error, "exit_code", None) if error.reason == "STOPPED" else None
    if own is not None:
        return own
    return USAGE_EXIT_CODE if error.reason in USAGE_REASONS else FAILURE_EXIT_CODE
