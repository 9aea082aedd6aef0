"""Where downloaded and prepared models lie on this machine."""

import os
from pathlib import Path

import platformdirs

from paceline.models.catalog import Model

CACHE_DIR_VARIABLE = "PACELINE_CACHE_DIR"


def default_cache_dir() -> Path:
    """Return the directory that PACELINE_CACHE_DIR names, else the user's cache directory for Paceline."""
    chosen = os.environ.get(CACHE_DIR_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("paceline"))


def model_directory(model: Model, cache_dir: Path) -> Path:
    """Return the directory that holds all of a model's files, whether or not it exists."""
    return cache_dir / "models" / model.name


def model_path(model: Model, cache_dir: Path) -> Path:
    """Return where a model's GGUF file lies once it is pulled."""
    return model_directory(model, cache_dir) / model.file_name


def is_pulled(model: Model, cache_dir: Path) -> bool:
    """Say whether a model's file is there; it got its name only after its bytes had been verified."""
    path = model_path(model, cache_dir)
    return path.is_file() and path.stat().st_size == model.num_bytes
