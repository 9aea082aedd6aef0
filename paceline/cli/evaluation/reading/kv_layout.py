"""What the KV of a token takes, from a model's architecture alone.

The CPU plugin of OpenVINO keeps keys and values of each layer and KV head in blocks of 32 tokens. Unquantised, a block
is 32 rows of `head_size` numbers. In u8 a row is `head_size` bytes, and

- keys are quantised by channel: a block has a scale and a zero point of float32 for each of its columns, in 8 more
  rows;
- values are quantised by token: each row has its scale and its zero point of float32 behind it, in 8 more bytes.

Example: SmolLM2-135M has 30 layers of 3 KV heads of 64. In u8 a block is 30 * 3 * (40 * 64 + 32 * 72) = 437,760 bytes,
a token 13,680; in f32 a token is 46,080.
"""

from paceline.engine.graph.architecture import Architecture
from paceline.errors import ConfigError

BLOCK_TOKENS = 32
_ELEMENT_BITS = {"f32": 32, "f16": 16, "bf16": 16, "u8": 8, "u4": 4}
_QUANTISED = {"u8", "u4"}
_SCALE_BITS = 2 * 32  # a scale and a zero point


def kv_bytes_per_block(architecture: Architecture, precision: str) -> int:
    """Return the bytes of one block of 32 tokens, all layers; raises ConfigError for an unknown precision.

    `precision` is "f32", "f16", "bf16", "u8" or "u4".
    """
    if precision not in _ELEMENT_BITS:
        known = ", ".join(_ELEMENT_BITS)
        raise ConfigError(f"KV precision {precision!r} is none of {known}", setting="kv_precision")
    size, element = architecture.head_size, _ELEMENT_BITS[precision]
    plain = 2 * BLOCK_TOKENS * size * element
    scales = (size + BLOCK_TOKENS) * _SCALE_BITS if precision in _QUANTISED else 0
    return architecture.num_layers * architecture.num_kv_heads * (plain + scales) // 8


def kv_bytes_per_token(architecture: Architecture, precision: str) -> float:
    """Return the bytes of one token's share of a block; raises as `kv_bytes_per_block`."""
    return kv_bytes_per_block(architecture, precision) / BLOCK_TOKENS


def num_blocks_of(num_tokens: int) -> int:
    """Return the blocks that a session of so many tokens holds: whole ones."""
    return -(-num_tokens // BLOCK_TOKENS)


def sessions_in(budget_bytes: int, num_tokens: int, block_bytes: int) -> int:
    """Return how many sessions of so many tokens a cache of this size holds; one block is the engine's own."""
    num_blocks = budget_bytes // block_bytes - 1
    return max(0, num_blocks // num_blocks_of(num_tokens))
