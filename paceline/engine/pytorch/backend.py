"""Loading a model into PyTorch."""

import structlog
import torch
import transformers
from torch.distributed.device_mesh import DeviceMesh

from paceline.engine.config import EngineConfig
from paceline.engine.graph.manifest import MANIFEST_FILE
from paceline.engine.model_runner import LoadedRunner, ModelRunner
from paceline.engine.pytorch.attention import BLOCKS_PER_STRIDE
from paceline.engine.pytorch.graphs import choose_capture
from paceline.engine.pytorch.loading import LoadOptions, load_torch_model
from paceline.engine.pytorch.placement import Slices
from paceline.engine.pytorch.precision import DTYPES, choose_device, choose_torch_precision
from paceline.engine.pytorch.runner import TorchRunner, TorchRunnerConfig
from paceline.engine.pytorch.share import Share
from paceline.engine.pytorch.sliced_runner import load_sliced
from paceline.errors import ConfigError

_log = structlog.get_logger()

# On CUDA devices as many as the engine's default pass has, since the weights are read once for all of them. CPUs pay
# for each row.
_TILE_ROWS = {"cuda": 64, "cpu": 16}


def load(config: EngineConfig) -> LoadedRunner:
    """Load weights and allocate the cache; raises as `paceline.engine.backends.load_backend` does."""
    device = choose_device(config.device)
    if config.tensor_parallel == 1:
        share = load_share(config, device)
        return _described(config, share, share.runner, device)
    share, runner = load_sliced(config, device, load_share)
    return _described(config, share, runner, device)


def load_share(config: EngineConfig, device: torch.device, mesh: DeviceMesh | None = None) -> Share:
    """Load what this process computes: all of the model, or a slice where `mesh` holds the processes that share it."""
    precision = choose_torch_precision(device, config.compute_precision, config.kv_precision)
    _require_tiles_for(config)
    _choose_kernels(device, max(1, config.num_threads // config.tensor_parallel))
    loaded = load_torch_model(
        config.model_directory,
        LoadOptions(
            device=device,
            compute_dtype=DTYPES[precision.compute],
            weights=config.weights,
            slices=None if mesh is None else Slices(mesh, in_order=config.batch_invariant != "off"),
            trust_remote_code=config.trust_remote_code,
        ),
    )
    runner = TorchRunner(
        loaded,
        TorchRunnerConfig(
            device=device,
            kv_dtype=DTYPES[precision.kv],
            kv_cache_bytes=config.kv_cache_bytes,
            tile_rows=_tile_rows(config, device),
            attention=config.attention,
            capture=choose_capture(device, config.cuda_graphs, is_sliced=mesh is not None),
        ),
    )
    return Share(loaded, runner, precision)


def _described(config: EngineConfig, share: Share, runner: ModelRunner, device: torch.device) -> LoadedRunner:
    """What is loaded, of which this process computes `share`."""
    loaded, ours, precision = share
    _log.info(
        "kernels_chosen",
        attention=ours.attention,
        num_graphs=ours.num_graphs,
        graph_mib=ours.graph_bytes >> 20,
    )
    num_slices = config.tensor_parallel
    return LoadedRunner(
        runner=runner,
        name=loaded.name,
        family=loaded.family,
        weights=loaded.weights,
        precision=precision,
        device=str(device) if num_slices == 1 else f"{device.type} x {num_slices}",
        vocabulary_size=loaded.shape.vocabulary_size,
        max_context_tokens=loaded.shape.max_context_tokens,
        kernel_settings={
            "engine": "torch",
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "precision": tuple(precision),
            "tensor_parallel": num_slices,
            "tile_rows": _tile_rows(config, device),
            "attention": ours.attention,
            # Libraries may choose other kernels for a graph.
            "has_graphs": ours.num_graphs > 0,
            "blocks_per_stride": BLOCKS_PER_STRIDE,
            "num_threads": torch.get_num_threads(),
        },
        may_keep_record=(config.model_directory / MANIFEST_FILE).is_file(),
    )


def _tile_rows(config: EngineConfig, device: torch.device) -> int | None:
    return None if config.batch_invariant == "off" else _TILE_ROWS[device.type]


def _require_tiles_for(config: EngineConfig) -> None:
    """Refuse an attention for tiles where there are none."""
    if config.attention != "auto" and config.batch_invariant == "off":
        message = (
            f'The attention "{config.attention}" is for logits that do not depend on the batch. Choose attention '
            '"auto", or batch_invariant "prefer" or "require".'
        )
        raise ConfigError(message, setting="attention")


def _choose_kernels(device: torch.device, num_threads: int) -> None:
    """Sums in full precision, in an order that does not depend on the moment."""
    if device.type == "cpu":
        torch.set_num_threads(num_threads)
        return
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
