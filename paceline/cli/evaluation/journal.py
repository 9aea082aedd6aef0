"""What an evaluation has finished: a file to which each piece of work adds a line."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")


@dataclass(frozen=True)
class Finished(Generic[T]):
    """A piece that is done, and the seconds that it took."""

    value: T
    seconds: float


class Journal:
    """Keeps the pieces of an evaluation by a digest of everything that they depend on.

    A line is written at once and never changed, so that an interruption loses the piece that ran and nothing else; a
    last line that was cut off is as if it had not been begun.
    """

    def __init__(self, path: Path) -> None:
        """Read what is there; a file that is missing is an empty one."""
        self._path = path
        self._entries: dict[str, dict[str, Any]] = {}
        self._is_torn = False
        if path.exists():
            self._read(path.read_bytes())

    def find(self, key: str, form: TypeAdapter[T]) -> Finished[T] | None:
        """Return a piece; None where it is not done, or was written in another form."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        try:
            return Finished(form.validate_python(entry["value"]), float(entry["seconds"]))
        except (ValidationError, KeyError):
            return None

    def add(self, key: str, name: str, form: TypeAdapter[T], finished: Finished[T]) -> None:
        """Keep a piece; `name` is for people who look into the file."""
        value = form.dump_python(finished.value, mode="json")
        entry = {"key": key, "name": name, "seconds": round(finished.seconds, 3), "value": value}
        line = json.dumps(entry, ensure_ascii=False) + "\n"
        with self._path.open("ab") as file:
            file.write(("\n" + line if self._is_torn else line).encode())
            file.flush()
            os.fsync(file.fileno())
        self._is_torn = False
        self._entries[key] = entry

    def _read(self, content: bytes) -> None:
        self._is_torn = bool(content) and not content.endswith(b"\n")
        for line in content.splitlines():
            try:
                entry = json.loads(line)
                self._entries[entry["key"]] = entry
            except (ValueError, KeyError, TypeError):
                continue
