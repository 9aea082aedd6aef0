"""What both sides of a round compute alike."""

import hashlib
from collections.abc import Iterable

import numpy as np

DIGEST_BYTES = 16


def prefix_digest(ids: Iterable[int]) -> bytes:
    """Return the BLAKE2b digest, 16 bytes, of ids, each as 4 bytes little-endian; of no bytes for no ids.

    It names the ids before a round's position, so that a replica notices when its cache holds others
    (`SessionPoint.prefix_digest` in protos/paceline/v1/round.proto).
    """
    packed = np.fromiter(ids, dtype="<u4").tobytes()
    return hashlib.blake2b(packed, digest_size=DIGEST_BYTES).digest()
