"""The arithmetic of the floor."""

import pytest

from benchmarks.passes.case import Case
from benchmarks.passes.floor import Floor, copied_bytes_per_second
from benchmarks.passes.shapes import SHAPES


def test_a_copy_moves_every_byte_twice() -> None:
    assert copied_bytes_per_second(10**9, 1e-3) == 2e12


def test_weights_are_read_once_and_each_sessions_kv_once_however_many_rows_look_at_it() -> None:
    floor = Floor(weight_bytes=1000, kv_bytes_per_token=10, bytes_per_second=1e6)
    assert floor.bytes_of(Case(context=99, num_sessions=2, num_rows=1)) == 1000 + 2 * 100 * 10
    assert floor.bytes_of(Case(context=99, num_sessions=2, num_rows=5)) == 1000 + 2 * 104 * 10
    assert floor.milliseconds_of(Case(context=99, num_sessions=2, num_rows=1)) == pytest.approx(3.0)


@pytest.mark.parametrize(("shape", "billions"), [("8b", 8.03), ("7b", 7.62), ("1b", 1.24)])
def test_shapes_have_as_many_parameters_as_the_models_that_they_are_named_after(
    shape: str, billions: float
) -> None:
    assert SHAPES[shape].num_parameters / 1e9 == pytest.approx(billions, abs=0.005)
