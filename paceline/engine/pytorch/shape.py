"""What the engine must know of a model of transformers besides its weights."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a decoder.

    Attributes:
        num_layers: Transformer blocks.
        num_heads: Query heads.
        num_kv_heads: Key and value heads; divides `num_heads`.
        head_size: Width of one head.
        vocabulary_size: Columns of the logits.
        max_context_tokens: Longest sequence for which a position's rotation is always the same.
    """

    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    vocabulary_size: int
    max_context_tokens: int

    def __post_init__(self) -> None:
        """Refuse sizes that are none; raises ValueError."""
        sizes = vars(self)
        if wrong := [name for name, size in sizes.items() if not isinstance(size, int) or size < 1]:
            raise ValueError(f"{', '.join(f'{name} is {sizes[name]}' for name in wrong)}")
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"{self.num_heads} heads cannot share {self.num_kv_heads} key and value heads")

    @classmethod
    def of(cls, config: Any) -> "ModelShape":
        """Read a config of transformers; raises AttributeError and ValueError where it is no decoder's."""
        num_heads = config.num_attention_heads
        return cls(
            num_layers=config.num_hidden_layers,
            num_heads=num_heads,
            num_kv_heads=getattr(config, "num_key_value_heads", None) or num_heads,
            head_size=getattr(config, "head_dim", None) or config.hidden_size // num_heads,
            vocabulary_size=config.vocab_size,
            max_context_tokens=_max_context_tokens(config),
        )


def _max_context_tokens(config: Any) -> int:
    """LongRoPE turns all rows of a pass by other angles as soon as one of them lies behind the original length."""
    longest = config.max_position_embeddings
    rope: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") != "longrope":
        return longest
    return min(longest, rope.get("original_max_position_embeddings", longest))
