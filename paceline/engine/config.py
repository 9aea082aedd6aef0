"""How a model is loaded and served."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from paceline.engine.admission import CacheUpdate
from paceline.engine.waiting_line import AdmissionRules

AttentionKind = Literal["auto", "flex", "strides"]
EngineKind = Literal["openvino", "torch"]
GraphUse = Literal["auto", "off"]
HeadKind = Literal["exact", "fast"]
Invariance = Literal["require", "prefer", "off"]
SelfTesting = Literal["remembered", "always"]


@dataclass(frozen=True)
class EngineConfig:
    """How a model is loaded.

    Attributes:
        model_directory: A prepared directory, see `paceline.models.prepare`; or, for the engine "torch", a Hugging
            Face directory.
        kv_cache_bytes: Memory for the KV cache, of each device.
        num_threads: Threads of a forward pass, shared out where several processes compute on CPUs.
        engine: What computes: "openvino", or "torch" (the extra `accelerator`).
        device: OpenVINO's "CPU", "GPU" or "NPU"; PyTorch's "cpu", "cuda" or "cuda:1"; "auto" is the CPU for OpenVINO,
            and the first CUDA device, where there is one, for PyTorch.
        tensor_parallel: So many devices of this node hold a slice of the model each, computed by a process each. The
            engine "torch" alone.
        weights: Format that a Hugging Face directory is loaded in, by the engine "torch"; a prepared directory has one.
        trust_remote_code: Whether a Hugging Face directory may bring code of its own, which then runs here.
        compute_precision: "f32", "bf16", or "auto": what is fastest for the weights on this device.
        kv_precision: "f32", "f16", "bf16", "u8", "u4", or "auto": as the computation.
        activation_group_size: See `paceline.engine.runner.RunnerConfig`; OpenVINO's alone.
        head: "exact", or "fast" for a draft: see `paceline.engine.runner.load_model`; OpenVINO's alone.
        attention: What reads the KV cache where logits are batch-invariant: "flex" is PyTorch's compiled
            FlexAttention, which reads blocks where they lie, "strides" copies them first; "auto" is "flex" on CUDA
            devices that run it, else "strides". The engine "torch" alone.
        cuda_graphs: "auto" captures batch-invariant passes on CUDA devices at loading, where that is possible; "off"
            starts each of their kernels anew. The engine "torch" alone.
        max_rows_per_step: Most rows of a forward pass.
        max_decode_stall_seconds: How long prompts may hold up the rounds of sessions that decode.
        batch_invariant: "require" refuses to load a model whose logits depend on the batch, "prefer" reports it,
            "off" promises nothing and lays prompts out in the faster, chunked way.
        self_test: "remembered" tests everything unless an earlier start has, under the same circumstances and with the
            same bits; "always" does not ask what was found before, nor does "require" where it was not invariance.
        max_context_tokens: Longest sequence; the model's own limit, or the cache's if that is smaller, where None.
        admission: How works wait for room in the KV cache.
        cache_update: What a work may use of the KV that is there, see `CacheUpdate`. With "rebuild" a sequence gives
            its blocks back as soon as its work ends. Batch-invariant logits are the same bits under each.
    """

    model_directory: Path
    kv_cache_bytes: int
    num_threads: int
    engine: EngineKind = "openvino"
    device: str = "CPU"
    tensor_parallel: int = 1
    weights: str = "f16"
    trust_remote_code: bool = False
    compute_precision: str = "auto"
    kv_precision: str = "auto"
    activation_group_size: int | None = None
    head: HeadKind = "exact"
    attention: AttentionKind = "auto"
    cuda_graphs: GraphUse = "auto"
    max_rows_per_step: int = 64
    max_decode_stall_seconds: float = 0.6
    batch_invariant: Invariance = "require"
    self_test: SelfTesting = "remembered"
    max_context_tokens: int | None = None
    admission: AdmissionRules = field(default_factory=AdmissionRules)
    cache_update: CacheUpdate = "keep"
