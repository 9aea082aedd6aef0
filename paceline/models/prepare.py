"""Preparing: a GGUF file or a Hugging Face model becomes a directory that the engine loads in a second or two.

A GGUF file is dequantised, quantised to the wanted format and written as safetensors; this needs neither torch nor
optimum. A hub id or a Hugging Face directory is exported by optimum-intel, which the extra `paceline[prepare]`
installs. A directory is prepared once: it gets its name only when it is complete.
"""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import numpy as np
from filelock import FileLock

from paceline.engine.graph.manifest import WEIGHTS_FILE, Manifest
from paceline.engine.graph.weights import Array
from paceline.models.cache import default_cache_dir
from paceline.models.catalog import MODELS, find_model
from paceline.models.errors import UnknownModelError
from paceline.models.gguf_file import GgufTensor
from paceline.models.gguf_weights import EMBEDDING, HEAD, WEIGHT_SUFFIX, GgufWeights
from paceline.models.optimum_export import export
from paceline.models.prepared import (
    is_prepared,
    name_of,
    prepared_path,
    ready_directory,
    require_format,
    sha256_of,
)
from paceline.models.pull import pull
from paceline.models.safetensors_file import write_safetensors
from paceline.models.stored_weights import stored_weight
from paceline.models.tokenizer import Tokenizer

# Called with what is being done, and how much of it is done and to do.
PrepareProgress: TypeAlias = Callable[[str, int, int], None]


def ignore_prepare_progress(step: str, num_done: int, num_total: int) -> None:
    """Take a progress report and do nothing."""


def prepare(
    source: str | Path,
    weights: str,
    progress: PrepareProgress = ignore_prepare_progress,
    cache_dir: Path | None = None,
) -> Path:
    """Return the prepared directory of a model, making it first where it is missing.

    Args:
        source: A name of the catalogue, a GGUF file, a directory (prepared, exported, or Hugging Face's), or a hub id.
        weights: "f32", "f16", "int8" or "int4". In int4 the embedding and the head stay int8.
        progress: Called as the work goes on.
        cache_dir: Where models lie; the user's cache directory where it is None.

    Raises:
        UnknownModelError: The source is none of these.
        UnsupportedModelError: The model's architecture or quantisation is not supported, or a package is missing.
    """
    require_format(weights)
    cache_dir = cache_dir or default_cache_dir()
    if (ready := ready_directory(source)) is not None:
        return ready
    gguf_path = _gguf_path(str(source), cache_dir, progress)
    if gguf_path is None:
        if "/" not in str(source) and not Path(source).is_dir():  # no hub id either
            raise UnknownModelError(str(source), MODELS)
        return export(str(source), weights, cache_dir / "prepared")
    directory = prepared_path(gguf_path, str(source), weights, cache_dir)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{directory}.lock"):
        if not is_prepared(directory):
            _prepare_gguf(gguf_path, name_of(str(source)), weights, directory, progress)
    return directory


def _gguf_path(source: str, cache_dir: Path, progress: PrepareProgress) -> Path | None:
    """The GGUF file of a source, pulled if it is catalogued; None where the source is something else."""
    if source in MODELS:
        return pull(find_model(source), cache_dir, lambda done, total: progress("pull", done, total))
    path = Path(source)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UnknownModelError(source, MODELS)
        return path
    return None


def _prepare_gguf(path: Path, name: str, weights: str, directory: Path, progress: PrepareProgress) -> None:
    unfinished = directory.with_name(f"{directory.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    model = GgufWeights(path)
    write_safetensors(unfinished / WEIGHTS_FILE, _stored_tensors(model, weights, progress))
    Tokenizer.load(path).save(unfinished)
    Manifest(
        name=name,
        weights=weights,
        graph="built",
        architecture=model.architecture,
        source=path.name,
        source_sha256=sha256_of(path, name),
    ).write(unfinished)
    unfinished.replace(directory)


def _stored_tensors(model: GgufWeights, weights: str, progress: PrepareProgress) -> dict[str, Array]:
    """All tensors in their stored format, several at a time: numpy lets other threads run."""
    tensors = list(model.tensors())
    stored: dict[str, Array] = {}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done, part in enumerate(pool.map(lambda one: _stored(model, one, weights), tensors), start=1):
            stored.update(part)
            progress("prepare", done, len(tensors))
    return stored


def _stored(model: GgufWeights, tensor: GgufTensor, weights: str) -> dict[str, Array]:
    values = model.load(tensor)
    name = tensor.name.removesuffix(WEIGHT_SUFFIX)
    if values.ndim == 1:
        return {name: np.ascontiguousarray(values)}
    head = EMBEDDING if model.architecture.has_tied_head else HEAD
    return stored_weight(name, values, weights, is_table=name in {EMBEDDING, HEAD}, is_head=name == head)
