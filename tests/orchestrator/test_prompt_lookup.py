from hypothesis import given
from hypothesis import strategies as st

from orchestrator.prompt_lookup import LONGEST_MATCH, SHORTEST_MATCH, PromptLookup


def test_what_followed_the_same_ids_before_is_proposed():
    assert PromptLookup().propose([1, 2, 3, 9, 1, 2], 3) == (3, 9, 1)


def test_the_longest_and_then_the_latest_match_counts():
    assert PromptLookup().propose([7, 1, 2, 30, 1, 2, 40, 7, 1, 2], 1) == (30,)
    assert PromptLookup().propose([1, 2, 30, 1, 2, 40, 1, 2], 1) == (40,)


def test_an_end_that_is_new_gives_nothing():
    assert PromptLookup().propose([1, 2, 3, 4], 5) == ()
    assert PromptLookup().propose([1], 5) == ()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.lists(st.integers(1, 60), max_size=5))
def test_growing_ids_give_what_a_search_of_all_of_them_gives(ids: list[int], lengths: list[int]):
    lookup = PromptLookup()
    for length in sorted({min(length, len(ids)) for length in lengths}):
        known = ids[:length]
        assert lookup.propose(known, 4) == search(known, 4)


def search(ids: list[int], num_draft_tokens: int) -> tuple[int, ...]:
    for size in range(LONGEST_MATCH, SHORTEST_MATCH - 1, -1):
        for end in range(len(ids) - 1, size - 1, -1):
            if len(ids) > size and ids[end - size : end] == ids[-size:]:
                return tuple(ids[end : end + num_draft_tokens])
    return ()
