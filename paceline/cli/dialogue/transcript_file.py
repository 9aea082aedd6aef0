"""Conversations in files."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from paceline.cli.dialogue.branches import Branches, Turn
from paceline.errors import ConfigError

VERSION = 1


class Transcript(NamedTuple):
    """A conversation, and where its session stood; an empty token where no session is known."""

    system: str | None
    turns: tuple[Turn, ...]
    rollback_token: str


def save(branches: Branches, path: Path) -> None:
    """Write the present branch; only the user may read it, since a rollback token opens the session.

    Raises ConfigError where that cannot be done.
    """
    last = branches.now.last
    token = branches.now.rollback_token
    if last is not None and last.points:
        token = last.rollback_token
    content = {
        "version": VERSION,
        "system": branches.now.system,
        "turns": [{"question": turn.question, "answer": turn.text} for turn in branches.now.turns],
        "rollback_token": token,
    }
    unfinished = path.with_name(f"{path.name}.part")
    try:
        # Made anew, and not found: a file that is there may be open to others, or a link to elsewhere.
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2, ensure_ascii=False)
            file.write("\n")
        unfinished.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", setting="file") from error


def load(path: Path) -> Transcript:
    """Read a file that `save` wrote; raises ConfigError where it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return _transcript(content)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", setting="file") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no conversation that /save wrote", setting="file") from error


def _transcript(content: dict[str, Any]) -> Transcript:
    if content["version"] != VERSION:
        raise ValueError(content["version"])
    turns = tuple(Turn(str(one["question"]), str(one["answer"])) for one in content["turns"])
    system = content["system"]
    return Transcript(None if system is None else str(system), turns, str(content["rollback_token"]))
