"""Exporting a Hugging Face model with optimum-intel: an offline step with heavy packages."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.architecture import Architecture
from paceline.engine.graph.manifest import EXPORTED_FILE, MANIFEST_FILE, Manifest

NUM_BITS = {"int8": 8, "int4": 4}


def export(source: str, weights: str, directory: Path) -> Path:
    """Export a hub id or a Hugging Face directory below `directory`, or adopt a directory that is exported already.

    Raises UnsupportedModelError where the extra `prepare` is not installed or the export fails.
    """
    exported = Path(source)
    if not (exported / EXPORTED_FILE).is_file():
        exported = directory / f"{source.strip('/').replace('/', '--')}-{weights}-exported"
        if (exported / MANIFEST_FILE).is_file():
            return exported
        _export(source, weights, exported)
    _manifest(exported, source, weights).write(exported)
    return exported


def _export(source: str, weights: str, directory: Path) -> None:
    if find_spec("optimum") is None:
        message = (
            f"{source!r} is neither in the catalogue nor a GGUF file, and exporting it needs optimum-intel: "
            'pip install "paceline[prepare]".'
        )
        raise UnsupportedModelError(message, source=source)
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig  # noqa: PLC0415
    from transformers import AutoTokenizer  # noqa: PLC0415

    unfinished = directory.with_name(f"{directory.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        quantization = OVWeightQuantizationConfig(bits=NUM_BITS[weights]) if weights in NUM_BITS else None
        model = OVModelForCausalLM.from_pretrained(
            source,
            export=True,
            compile=False,
            quantization_config=quantization,
            load_in_8bit=False,
            trust_remote_code=False,
        )
        model.save_pretrained(unfinished)
        # Said, because at a terminal transformers would ask instead.
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        tokenizer.save_pretrained(unfinished)
    except Exception as error:  # whatever the exporter, the hub's client or its network raise
        message = f"{source!r} could not be exported ({type(error).__name__}: {error}); check the name and the network."
        raise UnsupportedModelError(message, source=source) from error
    unfinished.replace(directory)


def _manifest(directory: Path, source: str, weights: str) -> Manifest:
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    num_heads, hidden_size = config["num_attention_heads"], config["hidden_size"]
    rope = config.get("rope_parameters") or {}
    architecture = Architecture(
        family=config["model_type"],
        num_layers=config["num_hidden_layers"],
        hidden_size=hidden_size,
        num_heads=num_heads,
        num_kv_heads=config.get("num_key_value_heads", num_heads),
        head_size=config.get("head_dim") or hidden_size // num_heads,
        vocabulary_size=config["vocab_size"],
        rope_theta=float(config.get("rope_theta") or rope.get("rope_theta", 10000.0)),
        norm_epsilon=config["rms_norm_eps"],
        max_context_tokens=config["max_position_embeddings"],
        has_tied_head=bool(config.get("tie_word_embeddings", False)),
    )
    return Manifest(Path(source).name, weights, "exported", architecture, source)
