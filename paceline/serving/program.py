"""How every program starts: configuration, logs, cores, the tie to its parent."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import structlog

from paceline.serving.config import ServiceConfig, exiting_with_a_sentence, pin_to_cores, read_config
from paceline.serving.lifeline import tie_to_parent
from paceline.serving.logs import configure_logs

C = TypeVar("C", bound=ServiceConfig)


@contextmanager
def started(config_class: type[C], arguments: Sequence[str] | None = None) -> Iterator[C]:
    """Run a program inside the block with its configuration, from `sys.argv` unless arguments are given.

    Import what loads OpenVINO inside the block: the process is then pinned to its cores. An error that says what to
    do ends the process with that sentence on stderr: code 2 where a setting is wrong, else 1.
    """
    with exiting_with_a_sentence(config_class.program):
        config = read_config(config_class, sys.argv[1:] if arguments is None else arguments)
        configure_logs(config.program, config.log_level)
        if config.parent_pid is not None:
            tie_to_parent(config.parent_pid)
        pin_to_cores(config.cores)
        structlog.contextvars.bind_contextvars(replica_id=config.replica_id)
        yield config
