"""Options that several commands have, each group of which reaches a command as one argument."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeAlias

Command: TypeAlias = Callable[..., None]


def with_options(group: Callable[..., Any], argument: str) -> Callable[[Command], Command]:
    """Give a command the options that a group's function takes; what it returns reaches the command as an argument."""

    def give(command: Command) -> Command:
        own = inspect.signature(command)
        options = inspect.signature(group).parameters

        @wraps(command)
        def run(**values: Any) -> None:
            given = {name: values.pop(name) for name in options}
            command(**values, **{argument: group(**given)})

        parameters = [*(one for one in own.parameters.values() if one.name != argument), *options.values()]
        # typer reads the options from these.
        run.__signature__ = own.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return give
