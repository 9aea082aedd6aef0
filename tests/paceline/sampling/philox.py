"""Philox4x64-10 in plain Python, written from Salmon et al. (SC 2011), to check the noise against."""

from collections.abc import Sequence

MASK = (1 << 64) - 1
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
NUM_ROUNDS = 10


def philox4x64(counter: Sequence[int], key: Sequence[int]) -> tuple[int, int, int, int]:
    """The block of four 64-bit words at a counter of four words under a key of two."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(NUM_ROUNDS):
        product0, product1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (
            product1 >> 64 ^ c1 ^ k0,
            product1 & MASK,
            product0 >> 64 ^ c3 ^ k1,
            product0 & MASK,
        )
        k0, k1 = k0 + KEY_STEPS[0] & MASK, k1 + KEY_STEPS[1] & MASK
    return c0, c1, c2, c3


def word(seed: int, stream: int, position: int, token_id: int) -> int:
    """The noise of one token, as the docstring of `paceline.sampling.noise` defines it."""
    block = philox4x64((token_id // 8 + 1, position, 0, 0), (seed, stream))
    return block[token_id % 8 // 2] >> 32 * (token_id % 2) & 0xFFFFFFFF
