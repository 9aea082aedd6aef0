"""Texts side by side in rows."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from paceline.distillation.packing import pack


def test_the_example_of_the_docstring() -> None:
    assert pack([3, 6, 4, 5], 9) == [[1, 0], [3, 2]]


@given(st.lists(st.integers(1, 50)), st.integers(50, 80))
def test_every_text_is_in_one_row_and_no_two_rows_could_be_one(lengths: list[int], capacity: int) -> None:
    rows = pack(lengths, capacity)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    filled = [sum(lengths[index] for index in row) for row in rows]
    assert all(one <= capacity for one in filled)
    assert all(one + other > capacity for one, other in pairwise(filled))
