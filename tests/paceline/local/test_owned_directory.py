"""Directories named for their process."""

import subprocess
import sys
from pathlib import Path

from paceline.local.owned_directory import make_owned_directory

MAKE = """
import sys
from pathlib import Path
from paceline.local.owned_directory import make_owned_directory
print(make_owned_directory(Path(sys.argv[1]), "a-"))
"""


def made_by_a_process_that_died(parent: Path) -> Path:
    return Path(subprocess.check_output([sys.executable, "-c", MAKE, str(parent)], text=True).strip())


def test_what_a_dead_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a-1-2-other").mkdir()
    (tmp_path / "a-notes-of-mine").mkdir()
    (tmp_path / "b-1-2-3").mkdir()
    mine = make_owned_directory(tmp_path, "a-")
    abandoned = made_by_a_process_that_died(tmp_path)
    assert abandoned.name.startswith("a-")
    second = make_owned_directory(tmp_path, "a-")
    assert sorted(tmp_path.iterdir()) == sorted(
        [mine, second, tmp_path / "a-notes-of-mine", tmp_path / "b-1-2-3"]
    )


def test_only_its_user_can_enter_it(tmp_path: Path) -> None:
    assert make_owned_directory(tmp_path).stat().st_mode & 0o077 == 0
