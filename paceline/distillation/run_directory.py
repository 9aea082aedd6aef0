"""The directory of a run: what belongs to it, and the settings that all of its parts share."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paceline.distillation.shape import StudentShape
from paceline.errors import ConfigError

_FORMAT_VERSION = 1


@dataclass(frozen=True)
class RunSettings:
    """What may not change from one call to the next.

    Attributes:
        target: The target as the user named it.
        target_weights: The format of the weights that it writes with.
        shape: The student's.
        num_labels: Soft labels a token.
        row_size: Tokens of a packed row: the longest context that the student learns from.
        seed: Of the order and of the weights.
    """

    target: str
    target_weights: str
    shape: StudentShape
    num_labels: int
    row_size: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return plain data; `from_json` reads it back."""
        return {**vars(self), "shape": self.shape.to_json(), "format_version": _FORMAT_VERSION}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "RunSettings":
        """Read what `to_json` returned; raises KeyError, TypeError or UnsupportedModelError."""
        fields = dict(data)
        if fields.pop("format_version") != _FORMAT_VERSION:
            raise KeyError("format_version")
        shape = StudentShape.from_json(fields.pop("shape"))
        return cls(shape=shape, **fields)


@dataclass(frozen=True)
class RunDirectory:
    """Where everything lies."""

    path: Path

    @property
    def text(self) -> Path:
        """The shards of the target's text."""
        return self.path / "text"

    @property
    def checkpoint(self) -> Path:
        """The student as it was last saved, with all that training needs to go on."""
        return self.path / "checkpoint.safetensors"

    @property
    def curve(self) -> Path:
        """Acceptance against training tokens, a JSON object a line."""
        return self.path / "curve.jsonl"

    @property
    def draft(self) -> Path:
        """Where the finished draft goes unless the user says otherwise."""
        return self.path / "draft"

    def read_settings(self) -> RunSettings | None:
        """Return the settings, None where no run has begun; raises ConfigError where they cannot be read."""
        if not self._settings.is_file():
            return None
        try:
            return RunSettings.from_json(json.loads(self._settings.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = (
                f"{self._settings} is of no run that can be resumed ({error!r}): name another --directory"
            )
            raise ConfigError(message, setting="directory") from error

    def write_settings(self, settings: RunSettings) -> None:
        """Begin a run."""
        self.path.mkdir(parents=True, exist_ok=True)
        unfinished = self._settings.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(settings.to_json(), indent=2) + "\n", encoding="utf-8")
        unfinished.replace(self._settings)

    @property
    def _settings(self) -> Path:
        return self.path / "distill.json"
