"""A deterministic model without weights: the next id is a hash of all ids before it."""

import hashlib
import struct
from collections.abc import Sequence

from tests.orchestrator.byte_tokenizer import EOS_ID

NUM_TEXT_IDS = 256


def next_id(ids: Sequence[int], eos_odds: int = 0) -> int:
    """The id after `ids`: any byte, or one time in `eos_odds` the end of the generation."""
    digest = hashlib.blake2b(struct.pack(f"<{len(ids)}I", *ids), digest_size=8).digest()
    number = int.from_bytes(digest, "little")
    if eos_odds and (number >> 32) % eos_odds == 0:
        return EOS_ID
    return number % NUM_TEXT_IDS


def continuation(ids: Sequence[int], num_ids: int, eos_odds: int = 0) -> list[int]:
    """What the model generates after `ids` by itself."""
    known = list(ids)
    for _ in range(num_ids):
        known.append(next_id(known, eos_odds))
        if known[-1] == EOS_ID:
            break
    return known[len(ids) :]


def guess(ids: Sequence[int], quality: float, eos_odds: int = 0) -> int:
    """What a draft of a quality (how often it is right, 0 to 1) thinks comes after `ids`."""
    right = next_id(ids, eos_odds)
    dice = hashlib.blake2b(struct.pack("<2I", len(ids), right), digest_size=2).digest()
    return right if int.from_bytes(dice, "little") < quality * 65536 else (right + 1) % NUM_TEXT_IDS
