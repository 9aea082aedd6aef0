"""The user's own prompts: what the draft will be asked in service."""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from paceline.errors import ConfigError


def read_prompt_file(path: Path) -> tuple[str, ...]:
    """Return the prompts of a file, none of them empty; raises ConfigError.

    .toml: [[prompts]] with `text`, as for `paceline bench`. .jsonl: an object with `prompt` or `text`, or with
    `messages` of which the first user turn counts, a line each. .txt: a prompt a line.
    """
    read = _READERS.get(path.suffix)
    if read is None:
        raise ConfigError(f"{path}: write prompts into {', '.join(_READERS)}", setting="prompts")
    try:
        prompts = [text.strip() for text in read(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} cannot be read as prompts: {error!r}", setting="prompts") from error
    found = tuple(dict.fromkeys(filter(None, prompts)))
    if not found:
        raise ConfigError(f"{path} holds no prompt", setting="prompts")
    return found


def _of_toml(text: str) -> list[str]:
    return [entry["text"] for entry in tomllib.loads(text)["prompts"]]


def _of_jsonl(text: str) -> list[str]:
    return [_of_object(json.loads(line)) for line in text.splitlines() if line.strip()]


def _of_object(entry: Mapping[str, Any]) -> str:
    for name in ("prompt", "text"):
        if name in entry:
            return entry[name]
    return next(turn["content"] for turn in entry["messages"] if turn["role"] == "user")


def _of_text(text: str) -> list[str]:
    return text.splitlines()


_READERS: Mapping[str, Callable[[str], list[str]]] = {
    ".toml": _of_toml,
    ".jsonl": _of_jsonl,
    ".txt": _of_text,
}
