"""The student's shape: Llama's, with the target's whole vocabulary and at most a tenth of its parameters."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paceline.engine.graph.architecture import Architecture
from paceline.engine.graph.manifest import WEIGHTS_FILE, Manifest
from paceline.engine.graph.weights import FAST_HEAD, Array, open_weights
from paceline.errors import ConfigError

# A draft step should be much cheaper than a target step; the rule of thumb for speculation.
SIZE_RATIO = 10
# Wider students learn more from a token, and too slowly on CPUs.
DEFAULT_WIDTHS = (256, 192, 128, 64)
DEFAULT_NUM_LAYERS = 4
_HEAD_SIZES = (64, 32, 16)
# int4 holds groups of at least 32 inputs.
_WIDTH_STEP = 32
_ROPE_THETA = 10_000.0
_NORM_EPSILON = 1e-5


@dataclass(frozen=True)
class StudentShape:
    """An architecture and the width of its feed-forward layers, which graphs read off the weights instead."""

    architecture: Architecture
    intermediate_size: int

    @property
    def num_parameters(self) -> int:
        """All weights; the embedding, which is the head too, counts once."""
        shape = self.architecture
        attention = 4 * shape.hidden_size * shape.num_heads * shape.head_size
        feed_forward = 3 * shape.hidden_size * self.intermediate_size
        norms = 2 * shape.hidden_size
        layers = shape.num_layers * (attention + feed_forward + norms)
        return shape.vocabulary_size * shape.hidden_size + layers + shape.hidden_size

    def to_json(self) -> dict[str, Any]:
        """Return plain data; `from_json` reads it back."""
        return {"architecture": self.architecture.to_json(), "intermediate_size": self.intermediate_size}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "StudentShape":
        """Read what `to_json` returned; raises UnsupportedModelError."""
        return cls(Architecture.from_json(data["architecture"]), data["intermediate_size"])


def student_shape(target: Architecture, width: int, num_layers: int) -> StudentShape:
    """Return a student of a given width; raises ConfigError.

    Example: width 192 has 3 heads of 64 and feed-forward layers of 512.
    """
    if width < _WIDTH_STEP or width % _WIDTH_STEP:
        raise ConfigError(f"--width {width}: write a multiple of {_WIDTH_STEP}", setting="width")
    head_size = next(size for size in _HEAD_SIZES if width % size == 0)
    num_heads = width // head_size
    architecture = Architecture(
        family="llama",
        num_layers=num_layers,
        hidden_size=width,
        num_heads=num_heads,
        num_kv_heads=num_heads,
        head_size=head_size,
        vocabulary_size=target.vocabulary_size,
        rope_theta=_ROPE_THETA,
        norm_epsilon=_NORM_EPSILON,
        max_context_tokens=target.max_context_tokens,
        has_tied_head=True,
    )
    return StudentShape(architecture, -(-8 * width // 3 // _WIDTH_STEP) * _WIDTH_STEP)


def default_width(target: Architecture, num_target_parameters: int, num_layers: int) -> int:
    """Return the widest default whose student is SIZE_RATIO times smaller; the narrowest where none is."""
    for width in DEFAULT_WIDTHS:
        shape = student_shape(target, width, num_layers)
        if shape.num_parameters * SIZE_RATIO <= num_target_parameters:
            return width
    return DEFAULT_WIDTHS[-1]


def num_parameters_of(directory: Path) -> int:
    """Count a prepared model's parameters; those of an exported graph are estimated from its shape."""
    manifest = Manifest.read(directory)
    if manifest.graph == "built":
        stored = open_weights(directory / WEIGHTS_FILE)
        return sum(_num_values(name, one) for name, one in stored.items())
    shape = manifest.architecture
    num_tables = 1 if shape.has_tied_head else 2
    return (
        12 * shape.num_layers * shape.hidden_size + num_tables * shape.vocabulary_size
    ) * shape.hidden_size


def _num_values(name: str, stored: Array) -> int:
    if name.startswith(FAST_HEAD) or name.endswith((".scale", ".zero")):
        return 0
    return stored.size * (2 if stored.dtype == np.uint8 else 1)  # int4 lies two in a byte
