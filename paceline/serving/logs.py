"""Logs as events with fields: one line an event that matters, never a prompt or a text unless that is asked for."""

import logging
import sys

import structlog

from paceline.serving.log_levels import LogLevel

_LEVELS = logging.getLevelNamesMapping()


class _Level:
    """The level of this process."""

    now = LogLevel.INFO


def configure_logs(program: str, level: str) -> None:
    """Log to stderr from `level` on: readable on a terminal, JSON lines elsewhere."""
    is_terminal = sys.stderr.isatty()
    renderers: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if is_terminal
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,  # so that the level of loggers that exist can be changed
    )
    set_log_level(level)
    structlog.contextvars.bind_contextvars(program=program)


def log_level() -> LogLevel:
    """Return the least severity that is logged."""
    return _Level.now


def set_log_level(level: str) -> None:
    """Log from another level on, by its name."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level.upper()]))
    _Level.now = LogLevel(level)
