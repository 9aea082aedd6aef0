"""Short names for what a measurement depends on."""

import hashlib
from pathlib import Path

from pydantic_core import to_json

from paceline.engine.graph.manifest import MANIFEST_FILE

_NUM_BYTES = 16


def digest_of(facts: object) -> str:
    """Return a digest, in hex, of plain data; dataclasses and enumerations are plain."""
    return hashlib.blake2b(to_json(facts), digest_size=_NUM_BYTES).hexdigest()


def model_digest(directory: Path) -> str:
    """Return a digest of a prepared model, by its manifest and its files' names, sizes and times.

    Reading gigabytes of weights would take longer than some of the measurements; a model that was prepared again only
    has another digest, and is measured again.
    """
    files = sorted(path for path in directory.iterdir() if path.is_file())
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return digest_of([(directory / MANIFEST_FILE).read_text(encoding="utf-8"), stats])
