"""A directory becomes a model of transformers on its device, with our attention.

Prepared directories are expanded: their weights have the values that they are stored with and take the memory of the
precision of the computation. Hugging Face directories are read by transformers, from safetensors alone: pickles run
code; torchao may hold their linear layers in fewer bits.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.manifest import MANIFEST_FILE, Manifest
from paceline.engine.pytorch.hub_config import HubConfig, read_hub_config
from paceline.engine.pytorch.library_errors import explained
from paceline.engine.pytorch.placement import (
    Slices,
    num_slices_of_heads,
    place,
    place_in_slices,
    require_slices,
)
from paceline.engine.pytorch.prepared_weights import read_prepared, read_prepared_config
from paceline.engine.pytorch.quantisation import (
    KEPT_FORMATS,
    held_format,
    own_quantisation,
    quantisation_arguments,
    require_known_format,
    require_readable_quantisation,
)
from paceline.engine.pytorch.reader import Reader
from paceline.engine.pytorch.shape import ModelShape
from paceline.errors import ConfigError

_COMPUTE_DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class LoadOptions:
    """How a model is loaded.

    Attributes:
        device: Where it computes; the device of this process's rank, where it holds a slice.
        compute_dtype: Precision of the computation: float32, bfloat16 or float16.
        weights: Format of a Hugging Face directory's weights: "f32" or "f16", which are both the precision of the
            computation, "int8", "int4" or "fp8". Prepared directories, and those that are quantised already, stay as
            they are.
        slices: How the model is dealt out to processes, as `require_sliceable` allows it; None where this one holds all
            of it.
        trust_remote_code: Whether Python code of a Hugging Face directory may run.
    """

    device: torch.device
    compute_dtype: torch.dtype
    weights: str
    slices: Slices | None = None
    trust_remote_code: bool = False


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to compute.

    Attributes:
        model: In evaluation mode and without gradients, on its device; its attention is ours.
        name: The model's name in requests.
        family: transformers' name of its architecture.
        weights: The format that is really held: "f32", "bf16" or "f16", what they were quantised to, or what a prepared
            directory stores.
        shape: Its sizes; with fewer heads than the model has where this process holds a slice of it.
    """

    model: PreTrainedModel
    name: str
    family: str
    weights: str
    shape: ModelShape


def load_torch_model(directory: Path, options: LoadOptions) -> LoadedModel:
    """Load a prepared directory or a Hugging Face directory.

    Raises UnsupportedModelError for a model that this engine cannot load or compute, ConfigError for options that it
    cannot be loaded with.
    """
    require_known_format(options.weights)
    if options.compute_dtype not in _COMPUTE_DTYPES:
        message = f"PyTorch does not compute models in {options.compute_dtype}; give f32, bf16 or f16."
        raise ConfigError(message, setting="compute_precision")
    is_prepared = (directory / MANIFEST_FILE).is_file()
    return _load_prepared(directory, options) if is_prepared else _load_hub_directory(directory, options)


def require_sliceable(directory: Path, weights: str, num_slices: int, *, trust_remote_code: bool) -> None:
    """Refuse a model that cannot be dealt out to so many processes; its weights are not read.

    Raises UnsupportedModelError and ConfigError.
    """
    if (directory / MANIFEST_FILE).is_file():
        config = read_prepared_config(directory, Manifest.read(directory))
    else:
        config = read_hub_config(directory, trust_remote_code=trust_remote_code).config
        _require_plain_weights(weights, config, directory)
    require_slices(_shape(directory, config), config, num_slices)


def _load_prepared(directory: Path, options: LoadOptions) -> LoadedModel:
    manifest = Manifest.read(directory)
    if options.weights == "fp8":
        message = (
            f"{directory} is prepared with {manifest.weights} weights; fp8 is made of a Hugging Face directory. "
            "Give one, or other --weights."
        )
        raise ConfigError(message, setting="weights")
    prepared = read_prepared(directory, manifest, options.compute_dtype)
    shape = _shape(directory, prepared.config)
    model = _reader(directory, options, prepared.config).read(
        prepared.model_class, None, state_dict=prepared.weights
    )
    held = _held(shape, options, prepared.config)
    return LoadedModel(model, manifest.name, model.config.model_type, manifest.weights, held)


def _load_hub_directory(directory: Path, options: LoadOptions) -> LoadedModel:
    hub_config = read_hub_config(directory, trust_remote_code=options.trust_remote_code)
    config = hub_config.config
    shape = _shape(directory, config)
    require_readable_quantisation(config, directory)
    is_quantised = own_quantisation(config) is not None
    weights = KEPT_FORMATS[0] if is_quantised else options.weights
    model = _reader(directory, options, config, may_have_more=is_quantised).read(
        AutoModelForCausalLM,
        directory,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=hub_config.runs_own_code,
        **quantisation_arguments(weights, config, options.device, directory),
    )
    _require_attention_interface(model, hub_config, directory)
    held = weights if weights not in KEPT_FORMATS else own_quantisation(model.config) or held_format(model)
    return LoadedModel(
        model, _name_of(directory), model.config.model_type, held, _held(shape, options, config)
    )


def _shape(directory: Path, config: Any) -> ModelShape:
    with explained(directory):
        return ModelShape.of(config)


def _reader(directory: Path, options: LoadOptions, config: Any, *, may_have_more: bool = False) -> Reader:
    slices = options.slices
    placement = place(options.device) if slices is None else place_in_slices(config, slices)
    return Reader(directory, config, options.compute_dtype, placement, may_have_more)


def _require_plain_weights(weights: str, config: Any, directory: Path) -> None:
    """Refuse to slice quantised layers."""
    if weights not in KEPT_FORMATS:
        message = (
            f"Slices of a model are not quantised to {weights}. Give --weights f16, or serve on one device."
        )
        raise ConfigError(message, setting="weights")
    if (method := own_quantisation(config)) is not None:
        message = (
            f"{directory} is quantised by {method!r}, and is not dealt out in slices. Serve it on one device."
        )
        raise ConfigError(message, setting="tensor_parallel")


def _require_attention_interface(model: PreTrainedModel, hub_config: HubConfig, directory: Path) -> None:
    """Refuse a directory's own code that computes attention itself instead of calling what is configured."""
    if hub_config.runs_own_code and not getattr(model, "_supports_attention_backend", False):
        message = (
            f"The code of {directory} does not call transformers' AttentionInterface, so that its attention cannot be "
            "ours. Serve a model of a family that transformers has."
        )
        raise UnsupportedModelError(message, path=str(directory))


def _held(shape: ModelShape, options: LoadOptions, config: Any) -> ModelShape:
    """The shape of what this process holds."""
    if options.slices is None:
        return shape
    num_slices = num_slices_of_heads(config, options.slices)
    return replace(
        shape, num_heads=shape.num_heads // num_slices, num_kv_heads=shape.num_kv_heads // num_slices
    )


def _name_of(directory: Path) -> str:
    """The hub id of a snapshot in the Hugging Face cache, else the directory's name.

    Example: `.../models--org--name/snapshots/0123` is `org/name`.
    """
    repository = directory.parent.parent.name
    if directory.parent.name == "snapshots" and repository.startswith("models--"):
        return repository.removeprefix("models--").replace("--", "/")
    return directory.resolve().name
