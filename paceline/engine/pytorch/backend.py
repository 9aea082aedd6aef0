"""Loading a model into PyTorch."""

import torch
import transformers

from paceline.engine.config import EngineConfig
from paceline.engine.graph.manifest import MANIFEST_FILE
from paceline.engine.model_runner import LoadedRunner
from paceline.engine.pytorch.attention import BLOCKS_PER_STRIDE
from paceline.engine.pytorch.loading import LoadOptions, load_torch_model
from paceline.engine.pytorch.precision import DTYPES, choose_device, choose_torch_precision
from paceline.engine.pytorch.runner import TorchRunner, TorchRunnerConfig

# On CUDA devices as many as the engine's default pass has, since the weights are read once for all of them. CPUs pay
# for each row.
_TILE_ROWS = {"cuda": 64, "cpu": 16}


def load(config: EngineConfig) -> LoadedRunner:
    """Load weights and allocate the cache; raises as `paceline.engine.backends.load_backend` does."""
    device = choose_device(config.device)
    precision = choose_torch_precision(device, config.compute_precision, config.kv_precision)
    _choose_kernels(device, config.num_threads)
    loaded = load_torch_model(
        config.model_directory,
        LoadOptions(
            device=device,
            compute_dtype=DTYPES[precision.compute],
            weights=config.weights,
            trust_remote_code=config.trust_remote_code,
        ),
    )
    tile_rows = None if config.batch_invariant == "off" else _TILE_ROWS[device.type]
    runner = TorchRunner(
        loaded, TorchRunnerConfig(device, DTYPES[precision.kv], config.kv_cache_bytes, tile_rows)
    )
    return LoadedRunner(
        runner=runner,
        name=loaded.name,
        family=loaded.family,
        weights=loaded.weights,
        precision=precision,
        device=str(device),
        vocabulary_size=loaded.shape.vocabulary_size,
        max_context_tokens=loaded.shape.max_context_tokens,
        kernel_settings={
            "engine": "torch",
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "precision": tuple(precision),
            "tile_rows": tile_rows,
            "blocks_per_stride": BLOCKS_PER_STRIDE,
            "num_threads": torch.get_num_threads(),
        },
        may_keep_record=(config.model_directory / MANIFEST_FILE).is_file(),
    )


def _choose_kernels(device: torch.device, num_threads: int) -> None:
    """Sums in full precision, in an order that does not depend on the moment."""
    if device.type == "cpu":
        torch.set_num_threads(num_threads)
        return
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
