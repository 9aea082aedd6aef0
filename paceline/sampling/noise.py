"""Counter-based noise: 32 bits for each (seed, stream, absolute position, token id), the same on every machine.

The generator is Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). The word of a
token is

    block = philox4x64_10(counter=(token_id // 8 + 1, position, 0, 0), key=(seed, stream))  # four 64-bit words
    word = block[token_id % 8 // 2] >> 32 * (token_id % 2) & 0xffffffff
    uniform = (word + 0.5) / 2**32  # never 0 and never 1
    gumbel = -log(-log(uniform))    # in float64

Counter and key are written with their lowest 64-bit word first. The 1 is there because numpy's generator, whose stream
numpy keeps stable, increments its counter before each block. A device that follows these lines draws the same words.
"""

import functools
import math
import threading
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

TOKENS_PER_BLOCK = 8
NUM_WORDS = 1 << 32
# What the lowest and the highest word give, rounded outwards.
MIN_GUMBEL = -3.138
MAX_GUMBEL = 22.875

# Setting the counter for one block costs about as much as drawing a hundred blocks in a row.
_BLOCKS_PER_SEEK = 100
_NOTHING_DRAWN = np.zeros(4, np.uint64)

Words = npt.NDArray[np.uint32]


class Stream(IntEnum):
    """What noise is for; noise of different streams is independent."""

    TOKEN = 0  # the choice of a token by shared noise, and by the target where it has no draft to judge
    ACCEPT = 1  # rejection: whether a draft token is accepted
    RESIDUAL = 2  # rejection: which token replaces it
    DRAFT = 3  # rejection: the draft's own choice


class _Generators(threading.local):
    """One generator a thread: making one takes longer than drawing the few words that a round needs."""

    def __init__(self) -> None:
        self.philox = np.random.Philox(0)


_GENERATORS = _Generators()


class Noise:
    """The noise of one seed and stream. Not for several threads at once."""

    def __init__(self, seed: int, stream: Stream) -> None:
        self._counter = np.zeros(4, np.uint64)
        # All of a generator's state, with nothing drawn in advance.
        self._state: Any = {
            "bit_generator": "Philox",
            "state": {"counter": self._counter, "key": np.array([seed, stream], np.uint64)},
            "buffer": _NOTHING_DRAWN,
            "buffer_pos": len(_NOTHING_DRAWN),
            "has_uint32": 0,
            "uinteger": 0,
        }

    def at(self, position: int, vocabulary_size: int) -> "RowNoise":
        """Return the noise of all tokens at a position."""
        return RowNoise(self, position, vocabulary_size)

    def uniform(self, position: int) -> float:
        """Return the position's one uniform number, that of token id 0: for streams that need no more."""
        return (int(self.blocks(position, 0, 1)[0]) + 0.5) / NUM_WORDS

    def blocks(self, position: int, first_block: int, num_blocks: int) -> Words:
        """Return the words of consecutive blocks of eight tokens [num_blocks * 8]."""
        self._counter[0], self._counter[1] = first_block, position
        generator = _GENERATORS.philox
        generator.state = self._state
        raw = generator.random_raw(num_blocks * (TOKENS_PER_BLOCK // 2))
        return np.asarray(raw, "<u8").view("<u4")


class RowNoise:
    """The words of one position: those of all tokens are drawn only if many are asked for."""

    def __init__(self, noise: Noise, position: int, vocabulary_size: int) -> None:
        self._noise = noise
        self._position = position
        self._vocabulary_size = vocabulary_size

    @functools.cached_property
    def words(self) -> Words:
        """Words of all tokens [vocab_size]."""
        num_blocks = -(-self._vocabulary_size // TOKENS_PER_BLOCK)
        return self._noise.blocks(self._position, 0, num_blocks)[: self._vocabulary_size]

    @property
    def num_cheap(self) -> int:
        """So many words cost less when they are sought one by one than when all tokens' are drawn."""
        return self._vocabulary_size // (TOKENS_PER_BLOCK * _BLOCKS_PER_SEEK)

    def words_of(self, token_ids: npt.NDArray[np.int64]) -> Words:
        """Return the words of some tokens [num_ids]."""
        if len(token_ids) > self.num_cheap or "words" in self.__dict__:
            return self.words[token_ids]
        blocks, at = np.unique(token_ids // TOKENS_PER_BLOCK, return_inverse=True)
        drawn = [self._noise.blocks(self._position, block, 1) for block in blocks.tolist()]
        return np.array(drawn, np.uint32).reshape(-1, TOKENS_PER_BLOCK)[at, token_ids % TOKENS_PER_BLOCK]


def gumbels(words: Words) -> npt.NDArray[np.float64]:
    """Return the Gumbel noise that words stand for [num_words]."""
    return -np.log(-np.log((words + 0.5) / NUM_WORDS))


def gumbel(word: int) -> float:
    """As `gumbels`, by the mathematical library, whose last bit does not depend on the length of an array."""
    return -math.log(-math.log((word + 0.5) / NUM_WORDS))


def least_word(least_gumbel: float) -> int:
    """Return a word such that all lower ones give less than this Gumbel noise.

    Example: only words from 4292818409 on, five in ten thousand, can give 7.6 or more.
    """
    if least_gumbel <= MIN_GUMBEL:
        return 0
    # One word of margin: a float64 errs by less than a millionth of a word here.
    return min(NUM_WORDS - 1, max(0, math.floor(NUM_WORDS * math.exp(-math.exp(-least_gumbel)) - 0.5) - 1))
