"""Ways are named by what tells them apart."""

from benchmarks.passes.measured import EXACT, OFF
from benchmarks.passes.ways import ways


def test_one_way_of_each_mode_is_named_by_the_mode() -> None:
    exact, off = ways((EXACT, OFF), ("auto",), ("auto",))
    assert (exact.name, exact.invariance, off.name, off.invariance) == ("exact", "prefer", "off", "off")


def test_exact_ways_combine_and_off_has_one() -> None:
    made = list(ways((EXACT, OFF), ("strides", "flex"), ("auto", "off")))
    assert [way.name for way in made] == [
        "exact, strides, graphs auto",
        "exact, strides, graphs off",
        "exact, flex, graphs auto",
        "exact, flex, graphs off",
        "off",
    ]
    assert (made[-1].attention, made[-1].cuda_graphs) == ("auto", "off")
