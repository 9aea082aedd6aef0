"""Which packages of an environment Paceline does not need with one of its extras, a name a line.

python unneeded.py /opt/paceline draft >unneeded.txt
"""

import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "paceline"


def main() -> None:
    """Print what can go."""
    environment, extra = sys.argv[1:]
    path = [str(folder) for folder in Path(environment).glob("lib/python*/site-packages")]
    installed = {str(canonicalize_name(one.name)): one for one in distributions(path=path)}
    for name in unneeded(installed, extra):
        sys.stdout.write(f"{name}\n")


def unneeded(installed: Mapping[str, Distribution], extra: str) -> list[str]:
    """Return the names that neither Paceline with this extra nor what it requires leads to, sorted."""
    needed: set[tuple[str, str]] = set()
    waiting = [(PROJECT, ""), (PROJECT, extra)]
    while waiting:
        wish = waiting.pop()
        if wish not in needed:
            needed.add(wish)
            waiting.extend(_required(installed, *wish))
    return sorted(installed.keys() - {name for name, _ in needed})


def _required(installed: Mapping[str, Distribution], name: str, extra: str) -> Iterator[tuple[str, str]]:
    """Yield what a package, with an extra where that is not empty, requires here: name and extra."""
    if name not in installed:
        raise SystemExit(f"error: {name} is required and not installed")
    for line in installed[name].requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            required = canonicalize_name(requirement.name)
            yield required, ""
            yield from ((required, one) for one in requirement.extras)


if __name__ == "__main__":
    main()
