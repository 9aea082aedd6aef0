"""Shapes of Llamas: what a pass costs depends on them, and not on what the weights have learned."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelShape:
    """Dimensions of a model, as transformers' `LlamaConfig` names them.

    Attributes:
        like: The published model that has them.
    """

    like: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    tie_word_embeddings: bool = False

    @property
    def num_parameters(self) -> int:
        """All parameters but the norms, which are a few thousand a layer."""
        heads = 2 * self.num_attention_heads + 2 * self.num_key_value_heads
        attention = heads * self.head_dim * self.hidden_size
        mlp = 3 * self.hidden_size * self.intermediate_size
        tables = (1 if self.tie_word_embeddings else 2) * self.vocab_size * self.hidden_size
        return self.num_hidden_layers * (attention + mlp) + tables


SHAPES = {
    "8b": ModelShape("Llama-3.1-8B", 128_256, 4096, 14_336, 32, 32, 8, 128),
    "7b": ModelShape("Qwen2.5-7B", 152_064, 3584, 18_944, 28, 28, 4, 128),
    "1b": ModelShape("Llama-3.2-1B", 128_256, 2048, 8192, 16, 32, 8, 64, tie_word_embeddings=True),
    "tiny": ModelShape("none that is published", 512, 64, 128, 2, 4, 2, 16),
}
