"""The words of `paceline.sampling.noise`, drawn for many rows at once on the device that holds their logits.

torch has signed integers of 64 bits only, and no products of 128. Signed sums, lower halves of products and exclusive
ors have the bits of the unsigned ones as they are. The upper half of a product is put together from products of 32-bit
halves, of which no sum exceeds 64 bits, and what is shifted to the right is masked.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from paceline.sampling.noise import NUM_WORDS, TOKENS_PER_BLOCK, Stream

_NUM_ROUNDS = 10
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_MASK = (1 << 64) - 1
_LOWER = (1 << 32) - 1


def as_int64(numbers: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the int64 with the same bits for numbers from 0 to 2**64 - 1.

    Example: 2**64 - 1 becomes -1.
    """
    return np.array(numbers, np.uint64).view(np.int64)


def gumbels(words: Tensor) -> Tensor:
    """Return the Gumbel noise that words stand for, in float64; the last bits are this device's own."""
    uniform = words.to(torch.float64).add_(0.5).div_(NUM_WORDS)
    return uniform.log_().neg_().log_().neg_()


class DeviceNoise:
    """The noise of one stream on a device: words are int64, from 0 to 2**32 - 1."""

    def __init__(self, device: torch.device, stream: Stream = Stream.TOKEN) -> None:
        self._stream = stream
        self._multipliers = torch.from_numpy(as_int64(_MULTIPLIERS)[:, None, None]).to(device)
        self._multiplier_halves = _halves(self._multipliers)
        steps = [[turn * step & _MASK for step in _KEY_STEPS] for turn in range(_NUM_ROUNDS)]
        self._key_steps = torch.from_numpy(as_int64(steps)[..., None]).to(device)  # [num_rounds, 2, 1]

    def at(self, seeds: Tensor, positions: Tensor, vocabulary_size: int) -> "RowsNoise":
        """Return the noise of rows with these seeds and positions [num_rows], int64 with the bits of unsigned ones."""
        return RowsNoise(self, seeds, positions, vocabulary_size)

    def blocks(self, seeds: Tensor, positions: Tensor, numbers: Tensor) -> Tensor:
        """Return blocks as four 64-bit words each [num_rows, num_blocks, 4].

        `numbers` [num_rows, num_blocks] says which: block 0 is that of the token ids from 0 to 7.
        """
        nothing = torch.zeros_like(numbers)
        # Of a counter's four words those with even numbers are multiplied; both kinds are [2, num_rows, num_blocks].
        even = torch.stack((numbers + 1, nothing))
        odd = torch.stack((positions[:, None].expand_as(numbers), nothing))
        for key in self._keys(seeds).unbind():
            upper, lower = self._multiplied(even)
            even = upper.flip(0).bitwise_xor_(odd).bitwise_xor_(key)
            odd = lower.flip(0)
        return torch.stack((even[0], odd[0], even[1], odd[1]), dim=-1)

    def _keys(self, seeds: Tensor) -> Tensor:
        """Return the key of each round [num_rounds, 2, num_rows, 1]."""
        first = torch.stack((seeds, torch.full_like(seeds, int(self._stream))))
        return (first + self._key_steps)[..., None]

    def _multiplied(self, factors: Tensor) -> "_Halves":
        """Return the products of 128 bits of factors [2, num_rows, num_blocks] and the two multipliers."""
        factor, multiplier = _halves(factors), self._multiplier_halves
        carry = _upper(factor.lower * multiplier.lower)
        inner = torch.addcmul(carry, factor.upper, multiplier.lower)
        outer = torch.addcmul(inner & _LOWER, factor.lower, multiplier.upper)
        upper = torch.addcmul(_upper(inner), factor.upper, multiplier.upper).add_(_upper(outer))
        return _Halves(upper, factors * self._multipliers)


@dataclass(frozen=True, eq=False)
class RowsNoise:
    """The noise of some rows.

    Attributes:
        noise: Of their stream.
        seeds: [num_rows].
        positions: [num_rows].
        vocabulary_size: Token ids are below it.
    """

    noise: DeviceNoise
    seeds: Tensor
    positions: Tensor
    vocabulary_size: int

    def words(self) -> Tensor:
        """Return the words of all tokens [num_rows, vocab_size]."""
        num_blocks = -(-self.vocabulary_size // TOKENS_PER_BLOCK)
        numbers = torch.arange(num_blocks, device=self.seeds.device).expand(len(self.seeds), -1)
        drawn = self.noise.blocks(self.seeds, self.positions, numbers)
        # The lower half of a 64-bit word comes first.
        words = torch.stack((drawn, drawn >> 32), dim=-1).bitwise_and_(_LOWER)
        return words.flatten(1)[:, : self.vocabulary_size]

    def words_of(self, token_ids: Tensor) -> Tensor:
        """Return the words of some tokens of each row [num_rows, num_ids]."""
        if token_ids.shape[1] * TOKENS_PER_BLOCK > self.vocabulary_size:
            return self.words().gather(1, token_ids)
        drawn = self.noise.blocks(self.seeds, self.positions, token_ids // TOKENS_PER_BLOCK)
        place = token_ids % TOKENS_PER_BLOCK
        whole = drawn.gather(2, (place // 2)[..., None]).squeeze(2)
        return (whole >> 32 * (place % 2)).bitwise_and_(_LOWER)


class _Halves(NamedTuple):
    upper: Tensor
    lower: Tensor


def _halves(numbers: Tensor) -> _Halves:
    """Return both halves of 64-bit numbers, from 0 to 2**32 - 1."""
    return _Halves(_upper(numbers), numbers & _LOWER)


def _upper(numbers: Tensor) -> Tensor:
    # The shift fills up with the sign.
    return (numbers >> 32).bitwise_and_(_LOWER)
