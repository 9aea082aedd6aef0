"""What is finished is found again, whatever happened to the file's end."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from paceline.cli.benchmark.trial import ADAPTIVE
from paceline.cli.evaluation.journal import Finished, Journal
from paceline.cli.evaluation.trial_piece import TRIAL
from tests.paceline.cli.evaluation.made_trials import drafted, foreseen, trial

NUMBERS = TypeAdapter(tuple[int, ...])


def filled(path: Path) -> Path:
    journal = Journal(path)
    journal.add("a", "first", NUMBERS, Finished((1, 2), 0.5))
    journal.add("b", "日本語", NUMBERS, Finished((3,), 1.5))
    return path


def test_a_piece_is_found_by_its_key_in_another_run(tmp_path: Path) -> None:
    journal = Journal(filled(tmp_path / "journal"))
    assert journal.find("a", NUMBERS) == Finished((1, 2), 0.5)
    assert journal.find("b", NUMBERS) == Finished((3,), 1.5)
    assert journal.find("c", NUMBERS) is None


def test_a_measured_trial_comes_back_as_it_was(tmp_path: Path) -> None:
    made = trial(
        ADAPTIVE, drafted(("code", "a"), foreseen("TTFTTTTF"), 2), cpu_seconds={"draft": 0.25}, joules=3.0
    )
    Journal(tmp_path / "journal").add("t", "a trial", TRIAL, Finished(made, 1.0))
    assert Journal(tmp_path / "journal").find("t", TRIAL) == Finished(made, 1.0)


@pytest.mark.parametrize("num_lost", [1, 2, 20, 60])
def test_a_torn_last_line_loses_its_piece_only(tmp_path: Path, num_lost: int) -> None:
    path = filled(tmp_path / "journal")
    path.write_bytes(path.read_bytes()[:-num_lost])
    journal = Journal(path)
    assert journal.find("a", NUMBERS) == Finished((1, 2), 0.5)
    journal.add("b", "again", NUMBERS, Finished((4,), 1.0))
    journal.add("c", "more", NUMBERS, Finished((5,), 1.0))
    again = Journal(path)
    assert [again.find(key, NUMBERS) for key in "abc"] == [
        Finished((1, 2), 0.5),
        Finished((4,), 1.0),
        Finished((5,), 1.0),
    ]


def test_what_is_written_is_never_changed(tmp_path: Path) -> None:
    path = filled(tmp_path / "journal")
    before = path.read_bytes()
    Journal(path).add("a", "anew", NUMBERS, Finished((9,), 1.0))
    assert path.read_bytes().startswith(before)
    assert Journal(path).find("a", NUMBERS) == Finished((9,), 1.0)


def test_a_piece_of_another_form_is_not_there(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Other:
        name: str

    assert Journal(filled(tmp_path / "journal")).find("a", TypeAdapter(Other)) is None


def test_lines_that_are_no_pieces_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'\xff\xfe\n[1]\n"x"\n\n{"key": ["k"]}\n')
    filled(path)
    assert Journal(path).find("a", NUMBERS) == Finished((1, 2), 0.5)
