"""Where a draft may be written to."""

from pathlib import Path

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.manifest import Manifest
from paceline.errors import ConfigError

# How the manifest of a distilled draft begins to tell where it came from.
DISTILLED_FROM = "distilled from "


def require_free(directory: Path) -> None:
    """Refuse a directory that holds anything but an earlier draft, which would be replaced; raises ConfigError."""
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    try:
        is_draft = Manifest.read(directory).source.startswith(DISTILLED_FROM)
    except UnsupportedModelError:
        is_draft = False
    if not is_draft:
        message = f"--output {directory}: something else lies there; name a directory that is empty or not there yet"
        raise ConfigError(message, setting="output")
