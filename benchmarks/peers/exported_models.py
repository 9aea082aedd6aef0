"""A catalogued model as the peers read it: dequantised for transformers, exported for OpenVINO GenAI.

Both come from the same GGUF file as our own prepared model, are made once and lie in the user's cache. Run by itself,
`python -m benchmarks.peers.exported_models MODEL FORMAT` makes one, so that the gigabytes it takes are given back.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from paceline.errors import PacelineError
from paceline.models.cache import default_cache_dir, model_path
from paceline.models.catalog import find_model
from paceline.models.pull import pull
from paceline.models.tokenizer import Tokenizer

DEQUANTISED = "f32"
NUM_DIGEST_CHARACTERS = 12
# As our own formats are: a scale and a zero point a row in int8; in int4 groups of 64, embedding and head in int8.
QUANTISATIONS: dict[str, dict[str, Any]] = {
    "int8": {"bits": 8, "sym": False},
    "int4": {"bits": 4, "sym": False, "group_size": 64, "ratio": 1.0},
}


class ExportFailedError(PacelineError):
    """A peer's model could not be made (`model`, `weights`, `log`)."""

    reason = "EXPORT_FAILED"

    def __init__(self, model: str, weights: str, log_path: Path) -> None:
        super().__init__(
            f"{model} could not be exported as {weights} for the peers: {log_path} says why; "
            "`make bench` installs what it needs",
            model=model,
            weights=weights,
            log=str(log_path),
        )


def find_or_export(name: str, weights: str) -> Path:
    """Return the directory of a model in a format, "f32" for transformers, made in a process of its own if missing.

    Raises ExportFailedError.
    """
    directory = exported_path(name, weights)
    if not directory.is_dir():
        directory.parent.mkdir(parents=True, exist_ok=True)
        log_path = directory.with_name(f"{directory.name}.log")
        command = [sys.executable, "-m", "benchmarks.peers.exported_models", name, weights]
        with log_path.open("w") as log:
            exit_code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
        if exit_code:
            raise ExportFailedError(name, weights, log_path)
    return directory


def exported_path(name: str, weights: str) -> Path:
    """Return where a model lies once it is exported."""
    digest = find_model(name).sha256[:NUM_DIGEST_CHARACTERS]
    return default_cache_dir() / "benchmarks" / f"{name}-{weights}-{digest}"


def export(name: str, weights: str) -> None:
    """Make what `exported_path` names, and for a quantised one the dequantised one before."""
    directory = exported_path(name, weights)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{directory}.lock"):
        if directory.is_dir():
            return
        if weights == DEQUANTISED:
            _dequantise(name, directory)
        else:
            export(name, DEQUANTISED)
            _quantise(exported_path(name, DEQUANTISED), weights, directory)


def _dequantise(name: str, directory: Path) -> None:
    import torch  # noqa: PLC0415
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint  # noqa: PLC0415

    pull(find_model(name), default_cache_dir())
    path = model_path(find_model(name), default_cache_dir())
    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    with torch.device("meta"):
        shape = AutoModelForCausalLM.from_config(config)
    # What `from_pretrained(gguf_file=...)` calls, which asks for the package accelerate besides.
    tensors = load_gguf_checkpoint(str(path), return_tensors=True, model_to_load=shape)["tensors"]
    with _appearing(directory) as unfinished:
        model = type(shape).from_pretrained(None, config=config, state_dict=tensors, dtype=torch.float32)
        model.save_pretrained(unfinished)
        # Ours, because transformers reads some GGUF tokenizers wrongly; it also states the ids that end an answer.
        Tokenizer.load(path).save(unfinished)


def _quantise(source: Path, weights: str, directory: Path) -> None:
    from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig  # noqa: PLC0415

    with _appearing(directory) as unfinished:
        model = OVModelForCausalLM.from_pretrained(
            source,
            export=True,
            compile=False,
            quantization_config=OVWeightQuantizationConfig(**QUANTISATIONS[weights]),
        )
        model.save_pretrained(unfinished)
        Tokenizer.load(source).save(unfinished)
        _convert_tokenizer(unfinished)


def _convert_tokenizer(directory: Path) -> None:
    """Write the tokenizer as the models that GenAI's speculative pipeline insists on, though it is given ids."""
    import openvino  # noqa: PLC0415
    from openvino_tokenizers import convert_tokenizer  # noqa: PLC0415
    from transformers import AutoTokenizer  # noqa: PLC0415

    converted: Any = convert_tokenizer(AutoTokenizer.from_pretrained(directory), with_detokenizer=True)
    for name, model in zip(("tokenizer", "detokenizer"), converted, strict=True):
        openvino.save_model(model, directory / f"openvino_{name}.xml")


@contextmanager
def _appearing(directory: Path) -> Generator[Path]:
    """Give a directory its name only when the `with` has filled it."""
    unfinished = directory.with_name(f"{directory.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    yield unfinished
    unfinished.replace(directory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a name of the catalogue")
    parser.add_argument("format", choices=[DEQUANTISED, *QUANTISATIONS])
    options = parser.parse_args()
    export(options.model, options.format)


if __name__ == "__main__":
    main()
