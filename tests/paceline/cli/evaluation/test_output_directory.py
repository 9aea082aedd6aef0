"""An evaluation's directory is its own."""

from pathlib import Path

import pytest

from paceline.cli.evaluation.output_directory import claimed
from paceline.errors import ConfigError


def test_an_evaluation_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "evaluation"
    with claimed(path, is_resumed=False, is_forced=False) as directory:
        directory.journal.write_text("{}\n")
    with (
        pytest.raises(ConfigError, match="--resume goes on with it, --force replaces it"),
        claimed(path, is_resumed=False, is_forced=False),
    ):
        pass
    assert directory.journal.read_text() == "{}\n"


def test_resuming_keeps_the_journal_and_forcing_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text("{}\n")
    (tmp_path / "evaluation.json").write_text("{}\n")
    with claimed(tmp_path, is_resumed=True, is_forced=False) as directory:
        assert directory.journal.exists()
    with claimed(tmp_path, is_resumed=False, is_forced=True) as directory:
        assert not directory.journal.exists()
        assert not directory.evaluation.exists()


def test_one_evaluation_at_a_time_is_made_in_a_directory(tmp_path: Path) -> None:
    with (
        claimed(tmp_path, is_resumed=True, is_forced=False),
        pytest.raises(ConfigError, match="another evaluation runs"),
        claimed(tmp_path, is_resumed=True, is_forced=False),
    ):
        pass
    with claimed(tmp_path, is_resumed=True, is_forced=False) as directory:
        assert directory.write("report.html", "<p>").read_text() == "<p>"


def test_a_directory_that_cannot_be_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigError, match="--output"),
        claimed(tmp_path / "file" / "evaluation", is_resumed=False, is_forced=False),
    ):
        pass
