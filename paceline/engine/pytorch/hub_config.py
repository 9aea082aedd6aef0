"""`config.json` of a Hugging Face directory, and whose code computes its model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import CONFIG_NAME

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.manifest import MANIFEST_FILE
from paceline.engine.pytorch.families import require_family, require_full_attention
from paceline.engine.pytorch.library_errors import explained, quiet


@dataclass(frozen=True)
class HubConfig:
    """What a directory says of its model.

    Attributes:
        config: transformers' PreTrainedConfig; its fields are those of the family.
        runs_own_code: The model is computed by Python code of the directory, which is trusted.
    """

    config: Any
    runs_own_code: bool


def read_hub_config(directory: Path, *, trust_remote_code: bool) -> HubConfig:
    """Read a directory's config; nothing of the directory runs unless `trust_remote_code`, and then only if it must.

    Raises UnsupportedModelError for code that is not trusted, and for what our attention does not compute.
    """
    fields = _read_fields(directory)
    own_code = _own_code(fields)
    if own_code is None:
        require_family(str(fields.get("model_type")), directory)
    elif not trust_remote_code:
        message = (
            f"{directory} computes its model with Python code of its own ({own_code}), which would run here. Read it, "
            "and give --trust-remote-code true if you trust it."
        )
        raise UnsupportedModelError(message, path=str(directory))
    runs_own_code = own_code is not None
    with explained(directory), quiet():
        config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=runs_own_code)
        if not runs_own_code:
            # transformers takes some configs for those of another family than they name.
            require_family(config.model_type, directory)
        require_full_attention(config, directory)
    return HubConfig(config, runs_own_code)


def _read_fields(directory: Path) -> dict[str, Any]:
    path = directory / CONFIG_NAME
    if not path.is_file():
        message = (
            f"{directory} is neither a prepared model ({MANIFEST_FILE}) nor a Hugging Face directory ({CONFIG_NAME}). "
            "Give one of them, or a hub id."
        )
        raise UnsupportedModelError(message, path=str(directory))
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read as JSON ({error}). Fetch the model again."
        raise UnsupportedModelError(message, path=str(directory)) from error
    if not isinstance(fields, dict):
        raise UnsupportedModelError(f"{path} is no JSON object. Fetch the model again.", path=str(directory))
    return {str(name): value for name, value in fields.items()}


def _own_code(fields: dict[str, Any]) -> str | None:
    """The class that the directory brings for its model.

    None where it brings none, or one that transformers has under the same name, which is then taken: models that were
    published before transformers knew them still carry their code.
    """
    auto_map = fields.get("auto_map")
    own = auto_map.get("AutoModelForCausalLM") if isinstance(auto_map, dict) else None
    if own is None:
        return None
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(str(fields.get("model_type")))
    return None if str(own).rpartition(".")[2] == known else str(own)
