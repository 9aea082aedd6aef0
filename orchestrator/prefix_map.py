"""Which process computed which prefix lately, so that a session that begins alike goes where its cache is."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np

from orchestrator.session_record import CacheOwner
from paceline.rounds import DIGEST_BYTES

BLOCK_IDS = 32  # as a replica's cache shares them
MAX_BLOCKS = 256  # of a prefix: longer ones that agree so far are alike enough
MAX_PREFIXES = 1 << 15


class PrefixMap:
    """Digests of prefixes of whole blocks, each with the process that last computed it; the oldest are forgotten.

    A digest covers all blocks from the first, so that equal digests are equal prefixes. It is a hint: the process may
    have dropped the blocks since.
    """

    def __init__(self, max_prefixes: int = MAX_PREFIXES) -> None:
        self._max_prefixes = max_prefixes
        self._owners: OrderedDict[bytes, CacheOwner] = OrderedDict()

    def __len__(self) -> int:
        return len(self._owners)

    def remember(self, ids: Sequence[int], owner: CacheOwner) -> None:
        """Note that a process has computed ids."""
        # The short prefixes come last and so stay longest, because more sessions share them.
        for digest in reversed(list(_digests(ids))):
            self._owners[digest] = owner
            self._owners.move_to_end(digest)
        while len(self._owners) > self._max_prefixes:
            self._owners.popitem(last=False)

    def lengths(self, ids: Sequence[int]) -> dict[CacheOwner, int]:
        """Return how many of the first ids each process computed lately, in whole blocks.

        Example: process a computed 70 ids, then b another text that agrees with them in the first 40; asked for the
        70 ids -> {b: 32, a: 64}.
        """
        lengths: dict[CacheOwner, int] = {}
        for place, digest in enumerate(_digests(ids)):
            owner = self._owners.get(digest)
            if owner is None:
                break
            lengths[owner] = (place + 1) * BLOCK_IDS
        return lengths


def _digests(ids: Sequence[int]) -> Iterator[bytes]:
    num_blocks = min(len(ids) // BLOCK_IDS, MAX_BLOCKS)
    packed = np.array(ids[: num_blocks * BLOCK_IDS], dtype="<u4").tobytes()
    num_bytes = 4 * BLOCK_IDS
    state = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for begin in range(0, len(packed), num_bytes):
        state.update(packed[begin : begin + num_bytes])
        yield state.digest()
