"""A model with random weights as a Hugging Face directory, so that it is loaded as any other."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from transformers import AutoModelForCausalLM, LlamaConfig

from benchmarks.passes.shapes import SHAPES
from paceline.models.cache import default_cache_dir

_DTYPE = torch.bfloat16
_MAX_CONTEXT_TOKENS = 131_072


def random_model(shape: str, device: torch.device) -> Path:
    """Return the directory of a shape with random weights in bf16, made in the models' cache where it is missing."""
    directory = default_cache_dir() / "benchmarks" / f"random-{shape}-bf16"
    directory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{directory}.lock"):
        if not directory.is_dir():
            unfinished = directory.with_name(f"{directory.name}.part")
            shutil.rmtree(unfinished, ignore_errors=True)
            _draw(shape, device).save_pretrained(unfinished)
            unfinished.replace(directory)
    return directory


def _draw(shape: str, device: torch.device) -> Any:
    dimensions: dict[str, Any] = asdict(SHAPES[shape]) | {"max_position_embeddings": _MAX_CONTEXT_TOKENS}
    del dimensions["like"]
    config = LlamaConfig(**dimensions)
    torch.manual_seed(0)
    # Drawn where that is fast; the device has room for them, since it is to serve them.
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=_DTYPE)
