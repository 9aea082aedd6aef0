"""`paceline.json`: what a prepared model directory holds."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.architecture import Architecture

MANIFEST_FILE = "paceline.json"
WEIGHTS_FILE = "model.safetensors"
EXPORTED_FILE = "openvino_model.xml"
# Grows whenever prepared files change their meaning, so that older ones are prepared again.
FORMAT_VERSION = 1

GraphKind = Literal["built", "exported"]


@dataclass(frozen=True)
class Manifest:
    """What a prepared directory holds.

    Attributes:
        name: The model's name in requests.
        weights: Format of the weights: "f32", "f16", "int8" or "int4".
        graph: "built" by us from model.safetensors, or "exported" by optimum-intel as openvino_model.xml.
        architecture: The model's shape.
        source: Where it came from, for people.
        source_sha256: Digest of the source file, empty where the source is a directory.
    """

    name: str
    weights: str
    graph: GraphKind
    architecture: Architecture
    source: str
    source_sha256: str = ""

    def write(self, directory: Path) -> None:
        """Write the manifest into a directory; it is written last, so that it marks a finished one."""
        fields = {**vars(self), "architecture": self.architecture.to_json(), "format_version": FORMAT_VERSION}
        (directory / MANIFEST_FILE).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, directory: Path) -> "Manifest":
        """Read a directory's manifest; raises UnsupportedModelError where there is none that we understand."""
        path = directory / MANIFEST_FILE
        try:
            fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            _require_version(fields.pop("format_version"), directory)
            architecture = Architecture.from_json(fields.pop("architecture"))
            return cls(architecture=architecture, **fields)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            message = (
                f"{directory} is not a prepared model ({error}). "
                "Run `paceline models prepare` with its name, file or directory."
            )
            raise UnsupportedModelError(message, path=str(directory)) from error


def _require_version(version: int, directory: Path) -> None:
    """Refuse another format before its fields are looked at."""
    if version != FORMAT_VERSION:
        message = (
            f"{directory} was prepared in format {version}, not {FORMAT_VERSION}. Prepare the model again."
        )
        raise UnsupportedModelError(message, path=str(directory))
