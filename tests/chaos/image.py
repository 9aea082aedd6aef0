"""The code that a process is started with: that of this checkout, or of another release."""

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Image:
    """Code under a name; `tree` is the folder that it is in, None for the code that runs the test."""

    name: str
    tree: Path | None = None

    def command(self, module: str) -> tuple[str, ...]:
        """Return what runs a program, which tells where its tasks are on a signal."""
        return (sys.executable, "-m", "tests.chaos.traced", module)

    @property
    def environment(self) -> dict[str, str]:
        """What lets Python find this code before any other."""
        if self.tree is None:
            return {}
        return {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(self.tree)}


CURRENT = Image("current")
