"""Tables of what was measured."""

from benchmarks.passes.case import Case
from benchmarks.passes.measured import EXACT, OFF, Measured, tables
from paceline.cli.benchmark.spread import Spread


def measured(mode: str, num_rows: int, milliseconds: float, floor: float = 2.0) -> Measured:
    forward = Spread(milliseconds, milliseconds - 0.1, milliseconds + 0.1, 5)
    return Measured(mode, Case(256, 1, num_rows), 1, forward, Spread(0.1, 0.1, 0.1, 5), floor)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_of_the_table_has_times_floors_and_what_more_rows_cost() -> None:
    header, _, line = tables([measured(EXACT, 1, 2.5), measured(EXACT, 5, 3.0)])
    assert dict(zip(cells(header), cells(line), strict=True)) == {
        "context": "256",
        "sessions": "1",
        "mode": "exact",
        "1 row, ms": "2.50 (2.40-2.60)",
        "5 rows, ms": "3.00 (2.90-3.10)",
        "x floor": "1.50",  # of the last; the first is in front of it
        "5 over 1": "1.20",
    }
    assert cells(line)[4] == "1.25"


def test_what_exactness_costs_has_a_table_where_both_modes_were_measured() -> None:
    lines = list(tables([measured(EXACT, 1, 3.0), measured(OFF, 1, 2.0)]))
    assert cells(lines[-1]) == ["256", "1", "exact", "1.50"]
    assert not any("exact over off" in line for line in tables([measured(OFF, 1, 2.0)]))


def test_a_case_that_did_not_fit_leaves_its_cells_empty() -> None:
    lines = list(tables([measured(EXACT, 1, 3.0), measured(EXACT, 9, 3.0), measured(OFF, 1, 2.0)]))
    assert cells(lines[3])[-3:] == ["", "", ""]
    assert cells(lines[-1]) == ["256", "1", "exact", "1.50", ""]


def test_every_exact_way_is_compared_with_the_one_that_promises_nothing() -> None:
    lines = list(
        tables([measured("exact, flex", 1, 3.0), measured("exact, strides", 1, 4.0), measured(OFF, 1, 2.0)])
    )
    assert [cells(line)[2:] for line in lines[-2:]] == [["exact, flex", "1.50"], ["exact, strides", "2.00"]]


def test_programs_get_every_number() -> None:
    document = measured(EXACT, 5, 3.0).to_json()
    assert (document["mode"], document["context"], document["num_sessions"], document["num_rows"]) == (
        "exact",
        256,
        1,
        5,
    )
    assert document["forward_ms"] == {"median": 3.0, "low": 2.9, "high": 3.1, "count": 5}
    assert document["times_floor"] == 1.5
