"""Digests of prefixes, and what may begin where."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from paceline.rounds import prefix_digest
from paceline.serving.session_point import PrefixDigester

IDS = st.lists(st.integers(0, 2**32 - 1), max_size=40)


def test_a_digest_is_blake2b_over_little_endian_ids() -> None:
    packed = bytes([1, 0, 0, 0, 0, 1, 0, 0])
    assert prefix_digest([1, 256]) == hashlib.blake2b(packed, digest_size=16).digest()
    assert prefix_digest([]) == hashlib.blake2b(b"", digest_size=16).digest()


@given(IDS, st.lists(st.tuples(st.integers(0, 40), IDS), max_size=10))
def test_a_digester_agrees_however_the_position_moves(
    ids: list[int], rounds: list[tuple[int, list[int]]]
) -> None:
    """Each round cuts the ids at its position, as a work does, and appends others."""
    digester = PrefixDigester()
    for wanted, appended in rounds:
        position = min(wanted, len(ids))
        assert digester.digest(ids, position) == prefix_digest(ids[:position])
        ids = ids[:position] + appended
