"""The student in torch: what `paceline.engine.graph.builder` builds for a Llama, weight for weight."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear, rms_norm, silu

from paceline.distillation.shape import StudentShape
from paceline.engine.graph.weights import FloatArray


class Student(nn.Module):
    """Ids to the hidden states behind the last norm; logits are their products with the embedding.

    Attributes:
        embedding: [vocabulary_size, hidden_size], the head too.
    """

    def __init__(self, shape: StudentShape, head_start: FloatArray | None = None, seed: int = 0) -> None:
        """Draw weights; `head_start` is an embedding whose rows have the mean square norm 1."""
        super().__init__()
        self.shape = shape
        generator = torch.Generator().manual_seed(seed)
        size = shape.architecture.hidden_size
        if head_start is None:
            rows = torch.randn(shape.architecture.vocabulary_size, size, generator=generator) / size**0.5
        else:
            rows = torch.from_numpy(np.ascontiguousarray(head_start, np.float32))
        self.embedding = nn.Parameter(rows)
        self.blocks = nn.ModuleList(_Block(shape, generator) for _ in range(shape.architecture.num_layers))
        self.output_norm = nn.Parameter(torch.ones(size))

    def forward(self, token_ids: Tensor, positions: Tensor, segments: Tensor) -> Tensor:
        """Return [num_rows, row_size, hidden_size] of packed rows; a text sees only itself."""
        architecture = self.shape.architecture
        context = _context(positions, segments, architecture.head_size, architecture.rope_theta)
        hidden = embedding(token_ids, self.embedding)
        for block in self.blocks:
            hidden = block(hidden, context)
        return _normed(hidden, self.output_norm, architecture.norm_epsilon)

    def engine_weights(self) -> dict[str, FloatArray]:
        """Return all weights by the names that the engine has for them."""
        return {
            _engine_name(name): value.detach().to(torch.float32).numpy().copy()
            for name, value in self.named_parameters()
        }


class _Context(NamedTuple):
    """What all layers share: the rotation of each position, and who may see whom."""

    cosine: Tensor  # [num_rows, 1, row_size, head_size]
    sine: Tensor
    masked: Tensor  # [num_rows, 1, row_size, row_size], 0 where a position is seen, else -inf


class _Block(nn.Module):
    """One transformer layer; its weights bear the engine's names."""

    def __init__(self, shape: StudentShape, generator: torch.Generator) -> None:
        super().__init__()
        size, inner = shape.architecture.hidden_size, shape.intermediate_size
        self.architecture = shape.architecture
        attention_size = shape.architecture.num_heads * shape.architecture.head_size
        # Branches begin small beside the stream that they add to.
        damping = (2 * shape.architecture.num_layers) ** -0.5

        def matrix(num_outputs: int, num_inputs: int, scale: float = 1.0) -> nn.Parameter:
            drawn = torch.randn(num_outputs, num_inputs, generator=generator)
            return nn.Parameter(drawn * scale / num_inputs**0.5)

        self.attn_norm = nn.Parameter(torch.ones(size))
        self.attn_q = matrix(attention_size, size)
        self.attn_k = matrix(attention_size, size)
        self.attn_v = matrix(attention_size, size)
        self.attn_output = matrix(size, attention_size, damping)
        self.ffn_norm = nn.Parameter(torch.ones(size))
        self.ffn_gate = matrix(inner, size)
        self.ffn_up = matrix(inner, size)
        self.ffn_down = matrix(size, inner, damping)

    def forward(self, hidden: Tensor, context: _Context) -> Tensor:
        epsilon = self.architecture.norm_epsilon
        hidden = hidden + self._attention(_normed(hidden, self.attn_norm, epsilon), context)
        normed = _normed(hidden, self.ffn_norm, epsilon)
        gated = silu(linear(normed, self.ffn_gate)) * linear(normed, self.ffn_up)
        return hidden + linear(gated, self.ffn_down)

    def _attention(self, hidden: Tensor, context: _Context) -> Tensor:
        query = _turned(self._heads(linear(hidden, self.attn_q)), context)
        key = _turned(self._heads(linear(hidden, self.attn_k)), context)
        value = self._heads(linear(hidden, self.attn_v))
        # Written out: on CPUs the fused kernel takes several times as long backwards, with a mask.
        scores = (query * self.architecture.head_size**-0.5) @ key.transpose(2, 3)
        scores += context.masked.to(scores.dtype)
        attended = torch.softmax(scores, dim=3) @ value
        return linear(attended.transpose(1, 2).flatten(2), self.attn_output)

    def _heads(self, projected: Tensor) -> Tensor:
        """[num_rows, row_size, all heads] to [num_rows, num_heads, row_size, head_size]."""
        return projected.unflatten(2, (self.architecture.num_heads, -1)).transpose(1, 2)


def _context(positions: Tensor, segments: Tensor, head_size: int, rope_theta: float) -> _Context:
    exponents = torch.arange(0, head_size, 2, dtype=torch.float64) / head_size
    frequencies = (1.0 / rope_theta**exponents).to(torch.float32)
    half = positions[:, None, :, None].to(torch.float32) * frequencies
    angles = torch.cat([half, half], dim=-1)
    size = segments.shape[1]
    is_same = segments[:, None, :, None] == segments[:, None, None, :]
    sees = is_same & torch.ones(size, size, dtype=torch.bool).tril()
    masked = torch.zeros(sees.shape).masked_fill_(~sees, -torch.inf)
    return _Context(angles.cos(), angles.sin(), masked)


def _turned(heads: Tensor, context: _Context) -> Tensor:
    """Halves rotated, as the engine's rotary embedding does."""
    first, second = heads.chunk(2, dim=-1)
    rotated = torch.cat([-second, first], dim=-1)
    return (heads * context.cosine + rotated * context.sine).to(heads.dtype)


def _normed(hidden: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return rms_norm(hidden, weight.shape, weight, epsilon)


def _engine_name(name: str) -> str:
    return name.replace("blocks.", "blk.") if name != "embedding" else "token_embd"
