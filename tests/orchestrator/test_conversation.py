"""Where the next turn of a chat begins."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.conversation import Joined, join

TEXTS = {1: b"Hel", 2: b"lo", 3: b"Hello", 4: b"Hi", 5: b"", 6: b"He", 7: b"llo", 10: b"", 11: b""}
CONTROL_IDS = frozenset({10, 11})
END, USER = 10, 11


def joined(session_ids: list[int], conversation_ids: list[int]) -> Joined:
    return join(session_ids, conversation_ids, TEXTS.__getitem__, CONTROL_IDS)


def test_ids_that_spell_the_beginning_stay_as_they_were_sampled():
    assert joined([1, 2, END], [3, END, USER, 4]) == ((1, 2, END, USER, 4), 3)
    assert joined([3, END], [6, 7, END, USER]) == ((3, END, USER), 2)


def test_a_conversation_that_was_changed_keeps_what_is_equal():
    assert joined([3, END, USER, 4, END], [3, END, USER, 3, END]) == ((3, END, USER, 3, END), 3)


def test_a_control_token_is_not_its_text():
    assert joined([3, END], [3, USER, 4]) == ((3, USER, 4), 1)


def test_a_session_that_ends_within_a_token_keeps_what_is_equal():
    assert joined([4, 1], [4, 3, END]) == ((4, 3, END), 1)


def test_a_conversation_that_is_shorter_keeps_its_own_ids():
    assert joined([3, END, USER], [3, END]) == ((3, END), 2)


def test_ids_that_spell_nothing_are_kept():
    assert joined([3, 5], [3, END]) == ((3, 5, END), 2)


IDS = st.lists(st.sampled_from(sorted(TEXTS)), max_size=12)


@given(IDS, IDS)
def test_the_joined_ids_always_spell_the_conversation(session_ids, conversation_ids):
    def spelled(ids: Sequence[int]) -> bytes:
        return b"".join(b"<%d>" % one if one in CONTROL_IDS else TEXTS[one] for one in ids)

    ids, num_kept = joined(session_ids, conversation_ids)
    assert list(ids[:num_kept]) == session_ids[:num_kept]
    assert spelled(ids) == spelled(conversation_ids)
