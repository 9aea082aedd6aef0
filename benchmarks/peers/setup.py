"""What a peer's process is started with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import TypeAdapter

PeerName: TypeAlias = Literal["ours", "genai", "transformers"]


@dataclass(frozen=True)
class Model:
    """A model in the form that the peer reads.

    Attributes:
        name: Of the catalogue.
        weights: Format of its weights.
        directory: What holds the model.
        engine: As our services have it; None is their own default, and says nothing to others.
        device: As our services have it; None is their own default, and says nothing to others.
    """

    name: str
    weights: str
    directory: Path
    engine: str | None = None
    device: str | None = None


@dataclass(frozen=True)
class PeerSetup:
    """One process, or one cluster of ours.

    Attributes:
        peer: Which.
        target: The model whose text counts.
        draft: The model that proposes; None where the target is alone.
        cores: The assignment of `paceline up`, for example "draft=0,target=1"; others get all that it names.
        is_batched: Whether many sessions share forward passes: GenAI has another pipeline for that.
        has_network: Whether orchestrator, target and draft stand in network namespaces of their own.
        keeps_prompts: Whether what was computed for a prompt serves the next one that begins alike.
        precision: GenAI's INFERENCE_PRECISION_HINT; None leaves it to OpenVINO, as users do.
    """

    peer: PeerName
    target: Model
    draft: Model | None
    cores: str
    is_batched: bool = False
    has_network: bool = False
    keeps_prompts: bool = True
    precision: str | None = None


_SETUPS = TypeAdapter(PeerSetup)


def write_setup(setup: PeerSetup) -> str:
    """Return a set-up as a command-line argument."""
    return _SETUPS.dump_json(setup).decode()


def read_setup(text: str) -> PeerSetup:
    """Read what `write_setup` wrote."""
    return _SETUPS.validate_json(text)
