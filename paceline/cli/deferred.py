"""Commands whose modules are imported when they run, so that `paceline --help` is fast."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

from paceline.cli.failure import failures_explained


class DeferredCommand(TyperCommand):
    """Stands for the typer app `app` of a module until somebody calls it."""

    def __init__(self, name: str, module: str, summary: str) -> None:
        super().__init__(name, callback=None, help=summary)
        self._module = module

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """Make the context of the real command, which then is the one to be invoked."""
        command = typer.main.get_command(import_module(self._module).app)
        command.name = self.name
        return command.make_context(info_name, args, parent, **extra)


class DeferredGroup(TyperGroup):
    """The commands of `summaries`: each in the module `paceline.cli.NAME`, with underscores for hyphens."""

    summaries: ClassVar[Mapping[str, str]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order in which the help shows them."""
        return list(self.summaries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the stand-in of a command."""
        if cmd_name not in self.summaries:
            return None
        module = f"paceline.cli.{cmd_name.replace('-', '_')}"
        return DeferredCommand(cmd_name, module, self.summaries[cmd_name])

    def invoke(self, ctx: Any) -> Any:
        """Run a command; without --debug, failures are explained instead of traced."""
        if ctx.params.get("is_debug"):
            return super().invoke(ctx)
        with failures_explained():
            return super().invoke(ctx)
