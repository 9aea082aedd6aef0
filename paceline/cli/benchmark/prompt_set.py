"""The prompts that are measured: those that lie beside this module, or a file of the user's own."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from paceline.errors import ConfigError

ALL = "all"
_BUILT_IN = Path(__file__).with_name("prompts")


@dataclass(frozen=True)
class BenchPrompt:
    """One prompt; `kind` is the file that it stands in."""

    kind: str
    name: str
    text: str


def read_prompts(selection: str) -> tuple[BenchPrompt, ...]:
    """Return the prompts of kinds with commas between them, of `all`, or of a .toml file.

    Example: `code,japanese`. Raises ConfigError, naming the kinds that there are.
    """
    if selection.endswith(".toml"):
        return _read_file(Path(selection))
    files = {path.stem: path for path in sorted(_BUILT_IN.glob("*.toml"))}
    kinds = list(files) if selection == ALL else selection.split(",")
    if unknown := [kind for kind in kinds if kind not in files]:
        known = ", ".join([ALL, *files])
        raise ConfigError(f"--prompts {','.join(unknown)}: there is {known}", setting="prompts")
    return tuple(prompt for kind in kinds for prompt in _read_file(files[kind]))


def _read_file(path: Path) -> tuple[BenchPrompt, ...]:
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))["prompts"]
        return tuple(BenchPrompt(path.stem, entry["name"], entry["text"].strip()) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: cannot be read ({error!r}); it needs [[prompts]] with name and text", setting="prompts"
        ) from error
