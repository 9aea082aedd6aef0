"""Which models an orchestrator serves."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ServedModel:
    """A model and how it computes; `is_batch_invariant` is the finding of its start-up self-test."""

    name: str
    weights: str
    compute_precision: str
    kv_precision: str
    device: str
    max_context_tokens: int
    is_batch_invariant: bool


@dataclass(frozen=True)
class ServedModels:
    """The target, whose text clients get, and the draft; None while no draft replica is ready."""

    target: ServedModel
    draft: ServedModel | None
