"""The shape of a decoder-only transformer of the Llama or Qwen2 family."""

from dataclasses import asdict, dataclass
from typing import Any

from paceline.engine.errors import UnsupportedModelError

SUPPORTED_FAMILIES = ("llama", "qwen2")


@dataclass(frozen=True)
class Architecture:
    """What the graph builder must know besides the weights.

    Attributes:
        family: "llama", or "qwen2" (biases on query, key and value).
        num_layers: Transformer blocks.
        hidden_size: Width of the residual stream.
        num_heads: Query heads; `num_heads * head_size` may differ from `hidden_size`.
        num_kv_heads: Key and value heads; divides `num_heads`.
        head_size: Width of one head, even.
        vocabulary_size: Rows of the embedding.
        rope_theta: Base of the rotary embedding (Su et al., arXiv 2104.09864).
        norm_epsilon: Added to the mean square in RMSNorm (Zhang and Sennrich, arXiv 1910.07467).
        max_context_tokens: Longest sequence that the model was trained for.
        has_tied_head: The output projection is the embedding.
    """

    family: str
    num_layers: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    vocabulary_size: int
    rope_theta: float
    norm_epsilon: float
    max_context_tokens: int
    has_tied_head: bool

    def __post_init__(self) -> None:
        """Refuse what the builder cannot build: raises UnsupportedModelError."""
        if self.family not in SUPPORTED_FAMILIES:
            supported = " and ".join(SUPPORTED_FAMILIES)
            message = f"The architecture {self.family!r} is not supported; {supported} are."
            raise UnsupportedModelError(message, family=self.family)
        sizes = (self.num_layers, self.hidden_size, self.num_heads, self.num_kv_heads, self.head_size)
        if min(*sizes, self.vocabulary_size, self.max_context_tokens) < 1:
            raise UnsupportedModelError("The sizes of an architecture must be positive.", family=self.family)
        if self.num_heads % self.num_kv_heads or self.head_size % 2:
            message = "The number of heads must be a multiple of the KV heads, and the head size even."
            raise UnsupportedModelError(message, family=self.family)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for a manifest; `from_json` reads it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Architecture":
        """Read what `to_json` wrote; raises UnsupportedModelError."""
        try:
            return cls(**data)
        except TypeError as error:
            raise UnsupportedModelError(f"The manifest's architecture is malformed: {error}.") from error
