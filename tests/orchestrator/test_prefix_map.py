"""The map of prefixes finds whole blocks that agree from the first id on, and stays bounded."""

from orchestrator.prefix_map import MAX_BLOCKS, PrefixMap
from orchestrator.session_record import CacheOwner

A, B = CacheOwner("a", "1"), CacheOwner("b", "1")


def test_the_longest_prefix_of_whole_blocks_is_found():
    prefixes = PrefixMap()
    prefixes.remember(range(70), A)
    assert prefixes.lengths(range(70)) == {A: 64}
    assert prefixes.lengths(range(63)) == {A: 32}
    assert prefixes.lengths(range(31)) == {}
    assert prefixes.lengths([*range(40), *range(30)]) == {A: 32}


def test_equal_blocks_after_different_ones_are_another_prefix():
    prefixes = PrefixMap()
    prefixes.remember([*range(32), *range(32)], A)
    assert prefixes.lengths([7] * 32 + [*range(32)]) == {}


def test_the_process_that_computed_a_prefix_last_has_it():
    prefixes = PrefixMap()
    prefixes.remember(range(70), A)
    prefixes.remember([*range(40), *[9] * 40], B)
    assert prefixes.lengths(range(70)) == {B: 32, A: 64}


def test_a_process_that_starts_again_is_another_one():
    prefixes = PrefixMap()
    prefixes.remember(range(64), A)
    assert CacheOwner("a", "2") not in prefixes.lengths(range(64))


def test_the_oldest_prefixes_are_forgotten_and_of_one_text_the_long_ones_first():
    prefixes = PrefixMap(max_prefixes=4)
    prefixes.remember(range(96), A)
    prefixes.remember([5] * 64, B)
    assert len(prefixes) == 4
    assert prefixes.lengths(range(96)) == {A: 64}
    assert prefixes.lengths([5] * 64) == {B: 64}


def test_a_long_text_takes_a_bounded_part_of_the_map():
    prefixes = PrefixMap()
    prefixes.remember(range(100_000), A)
    assert len(prefixes) == MAX_BLOCKS
