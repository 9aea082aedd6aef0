"""Prepared models: where they lie, and whether they are there."""

import hashlib
from pathlib import Path

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.manifest import FORMAT_VERSION, MANIFEST_FILE
from paceline.errors import PacelineError
from paceline.models.cache import default_cache_dir, is_pulled, model_path
from paceline.models.catalog import MODELS, SHIPPED_DRAFTS, find_model

WEIGHT_FORMATS = ("f32", "f16", "int8", "int4")
NUM_DIGEST_CHARACTERS = 12


class NotPreparedError(PacelineError):
    """A model has to be prepared before it can be served (`source`, `weights`)."""

    reason = "MODEL_NOT_PREPARED"

    def __init__(self, source: str, weights: str) -> None:
        command = f"paceline models prepare {source} --weights {weights}"
        super().__init__(
            f"{source!r} is not prepared with {weights} weights. Run: {command}",
            source=source,
            weights=weights,
        )


def find_prepared(source: str | Path, weights: str, cache_dir: Path | None = None) -> Path:
    """Return the prepared directory of a model without making anything.

    Raises NotPreparedError with the command that prepares it.
    """
    require_format(weights)
    cache_dir = cache_dir or default_cache_dir()
    if (ready := ready_directory(source)) is not None:
        return ready
    path = _pulled_path(str(source), cache_dir)
    directory = path and prepared_path(path, str(source), weights, cache_dir)
    if directory is None or not is_prepared(directory):
        raise NotPreparedError(str(source), weights)
    return directory


def ready_directory(source: str | Path) -> Path | None:
    """Return the directory of a source that is prepared as it is: a shipped draft, or any prepared directory."""
    shipped = SHIPPED_DRAFTS.get(str(source))
    path = Path(source) if shipped is None else shipped.directory
    return path if is_prepared(path) else None


def is_prepared(directory: Path) -> bool:
    """Say whether a directory holds a model that the engine loads as it is."""
    return (directory / MANIFEST_FILE).is_file()


def require_format(weights: str) -> None:
    """Refuse a format that does not exist; raises UnsupportedModelError."""
    if weights not in WEIGHT_FORMATS:
        message = f"Weights {weights!r} are not one of {', '.join(WEIGHT_FORMATS)}."
        raise UnsupportedModelError(message, weights=weights)


def name_of(source: str) -> str:
    """Return the name in requests of a model from the catalogue or a file."""
    return Path(source).stem if source.endswith(".gguf") else source


def prepared_path(gguf_path: Path, source: str, weights: str, cache_dir: Path) -> Path:
    """Return where the model of a GGUF file lies once it is prepared."""
    digest = sha256_of(gguf_path, source)[:NUM_DIGEST_CHARACTERS]
    return cache_dir / "prepared" / f"{name_of(source)}-{weights}-{digest}-v{FORMAT_VERSION}"


def sha256_of(gguf_path: Path, source: str) -> str:
    """Return a catalogued file's pinned digest, or any other's own."""
    if source in MODELS:
        return MODELS[source].sha256
    with gguf_path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pulled_path(source: str, cache_dir: Path) -> Path | None:
    if source in MODELS:
        model = find_model(source)
        return model_path(model, cache_dir) if is_pulled(model, cache_dir) else None
    path = Path(source)
    return path if path.suffix == ".gguf" and path.is_file() else None
