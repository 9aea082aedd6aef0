"""One compiled model with its KV cache: a batch in, logits out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino as ov

from paceline.engine.batch import Batch
from paceline.engine.block_pool import PADDING_BLOCK
from paceline.engine.config import EngineConfig, HeadKind
from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.builder import build_graph, head_name
from paceline.engine.graph.exported import read_exported
from paceline.engine.graph.manifest import EXPORTED_FILE, WEIGHTS_FILE, Manifest
from paceline.engine.graph.weights import FAST_HEAD, open_weights
from paceline.engine.model_runner import count_blocks
from paceline.engine.precision import Precision, openvino_device
from paceline.engine.work import Logits
from paceline.errors import ConfigError

# Vector loads of the KV are fastest when blocks start at a cache line.
ALIGNMENT = 64


@dataclass(frozen=True)
class RunnerConfig:
    """How a model is compiled.

    Attributes:
        device: OpenVINO device.
        compute_precision: "f32" or "bf16".
        kv_precision: "f32", "f16", "bf16", "u8" or "u4".
        num_threads: Threads of a forward pass.
        kv_cache_bytes: Memory for the KV cache.
        activation_group_size: Neighbouring activations that share a scale where they are quantised to meet int8 or int4
            weights; 0 leaves them as they are, and the device chooses where it is None. The larger the faster, as far
            as the groups of the weights reach.
    """

    device: str
    compute_precision: str
    kv_precision: str
    num_threads: int
    kv_cache_bytes: int
    activation_group_size: int | None = None

    @classmethod
    def of(cls, config: EngineConfig, precision: Precision) -> "RunnerConfig":
        """Return how the model of an engine is compiled in a precision."""
        return cls(
            openvino_device(config.device),
            precision.compute,
            precision.kv,
            config.num_threads,
            config.kv_cache_bytes,
            config.activation_group_size,
        )


class Runner:
    """Owns the compiled model and the KV memory. One thread at a time.

    Attributes:
        num_blocks: Blocks of the cache, the padding block included.
        block_size: Tokens a block.
        kv_bytes_per_token: Bytes of KV one token takes, all layers.
        num_threads: Threads that a pass really uses, which may be fewer than were asked for.
        least_rows: See `paceline.engine.model_runner.ModelRunner`.
    """

    def __init__(self, model: ov.Model, config: RunnerConfig, weights: object = None) -> None:
        """Compile and allocate.

        `weights` is what keeps the memory of the model's constants: OpenVINO holds no reference to int4 arrays.

        Raises:
            ConfigError: The device does not compute in these precisions.
            BlocksExhaustedError: The memory holds no useful cache.
        """
        self._weights = weights
        self._compiled = _compile(model, config)
        self._request = self._compiled.create_infer_request()
        self.num_threads = (
            int(self._compiled.get_property("INFERENCE_NUM_THREADS")) if config.device == "CPU" else 1
        )
        self.least_rows = self.num_threads  # why: `paceline.engine.self_test`
        self._allocate(config)

    def forward(self, batch: Batch) -> Logits:
        """Run one pass and return logits [batch.num_logits, vocab_size], valid until the next pass.

        The KV of every row is written. Other threads run meanwhile: the pass holds no interpreter lock.
        """
        for name, array in batch.inputs.items():
            self._request.set_tensor(name, ov.Tensor(array))
        self._request.infer()
        return self._request.get_output_tensor(0).data[: batch.num_logits]

    def copy_block(self, source: int, destination: int) -> None:
        """Copy the KV of one block over another's, in all layers."""
        for cache in self._caches:
            cache[destination] = cache[source]

    def _allocate(self, config: RunnerConfig) -> None:
        inputs = [one for one in self._compiled.inputs if "_cache." in one.any_name]
        _check_kv_precision({one.element_type.get_type_name() for one in inputs}, config)
        shapes = {one.any_name: [size.get_length() for size in one.partial_shape[1:]] for one in inputs}
        sizes = {one.any_name: _num_bytes(shapes[one.any_name], one.element_type) for one in inputs}
        # Not the keys' shape: u8 keys are quantised by channel and keep scales in rows of their own.
        self.block_size = shapes["value_cache.0"][1]
        self.kv_bytes_per_token = sum(sizes.values()) // self.block_size
        self.num_blocks = count_blocks(config.kv_cache_bytes, sum(sizes.values()))
        self._caches: list[npt.NDArray[np.uint8]] = []
        for one in inputs:
            memory = _aligned(self.num_blocks * sizes[one.any_name]).reshape(self.num_blocks, -1)
            memory[PADDING_BLOCK] = 0
            self._caches.append(memory)
            shape = ov.Shape([self.num_blocks, *shapes[one.any_name]])
            self._request.set_tensor(one.any_name, ov.Tensor(memory, shape, one.element_type))


def _compile(model: ov.Model, config: RunnerConfig) -> ov.CompiledModel:
    properties = {
        "INFERENCE_PRECISION_HINT": config.compute_precision,
        "PERFORMANCE_HINT": "LATENCY",
        "KV_CACHE_PRECISION": config.kv_precision,
    }
    if config.device == "CPU":
        # The process is pinned as a whole; pinning by the plugin would put two replicas on one core.
        threads = {
            "INFERENCE_NUM_THREADS": config.num_threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        properties |= threads
        if config.activation_group_size is not None:
            properties["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = config.activation_group_size
    try:
        return ov.Core().compile_model(model, config.device, properties)
    except RuntimeError as error:
        raise _refusal(config, error) from error


def _refusal(config: RunnerConfig, error: RuntimeError) -> ConfigError:
    """Name the settings; OpenVINO's reason is the last line of its error, below the places that it passed."""
    reason = (str(error).strip().splitlines() or ["no reason given"])[-1].strip()
    message = (
        f"OpenVINO does not compile this model on {config.device} in {config.compute_precision} with "
        f"{config.kv_precision} KV ({reason}). Choose another device, compute_precision or kv_precision."
    )
    return ConfigError(message, setting="")


def _check_kv_precision(found: set[str], config: RunnerConfig) -> None:
    """Refuse a cache that is kept otherwise than was asked for; other devices than CPUs have their own names for it."""
    if config.device == "CPU" and found != {config.kv_precision}:
        message = (
            f"OpenVINO keeps the KV in {' and '.join(sorted(found))} where {config.kv_precision} was asked for beside "
            f"{config.compute_precision}. Choose another kv_precision."
        )
        raise ConfigError(message, setting="kv_precision")


def load_model(directory: Path, head: HeadKind = "exact") -> tuple[Manifest, Callable[[], ov.Model]]:
    """Return a prepared directory's manifest and what reads its graph; raises UnsupportedModelError.

    The fast head computes the logits in int4, where a built directory with int4 weights has it besides the exact one.
    """
    manifest = Manifest.read(directory)
    if manifest.graph == "exported":
        return manifest, lambda: read_exported(directory / EXPORTED_FILE)
    weights = open_weights(directory / WEIGHTS_FILE)
    has_fast_head = head == "fast" and f"{FAST_HEAD}.q" in weights
    name = FAST_HEAD if has_fast_head else head_name(manifest.architecture)

    def build() -> ov.Model:
        try:
            return build_graph(manifest.architecture, weights, name)
        except KeyError as error:
            raise UnsupportedModelError(
                f"{directory} lacks the weights {error}.", path=str(directory)
            ) from error
        except RuntimeError as error:
            message = f"The weights in {directory} do not fit its architecture: {error}"
            raise UnsupportedModelError(message, path=str(directory)) from error

    return manifest, build


def _num_bytes(shape: list[int], dtype: ov.Type) -> int:
    return int(np.prod(shape)) * dtype.bitwidth // 8


def _aligned(num_bytes: int) -> npt.NDArray[np.uint8]:
    """Memory that the system hands out only when it is first written to."""
    memory = np.empty(num_bytes + ALIGNMENT, np.uint8)
    offset = -memory.ctypes.data % ALIGNMENT
    return memory[offset : offset + num_bytes]
