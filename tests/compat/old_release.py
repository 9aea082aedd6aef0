"""The release before this one, as code that processes can run beside the code of today."""

import subprocess
from pathlib import Path

from tests.chaos.image import Image
from tests.paceline.serving.processes import ROOT

# Nothing was released yet: it stands for the release before the version handshake. Its dependencies are those of today.
OLD_COMMIT = "916fcd37fdec5e282eb50d67c05dcc8073cd3746"
_PARTS = ("paceline", "draft_service", "target_service", "orchestrator", "tests/chaos/traced.py")


def is_there() -> bool:
    """Whether the repository here has the commit: a shallow clone or an archive has not."""
    try:
        found = subprocess.run(
            ["git", "-C", str(ROOT), "cat-file", "-e", f"{OLD_COMMIT}^{{commit}}"],
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        return False
    return found.returncode == 0


def old_release(directory: Path) -> Image:
    """Write the old code to a directory, and return what runs it."""
    directory.mkdir()
    archive = subprocess.run(
        ["git", "-C", str(ROOT), "archive", "--format=tar", OLD_COMMIT, *_PARTS],
        capture_output=True,
        check=True,
    )
    subprocess.run(["tar", "-x", "-C", str(directory)], input=archive.stdout, check=True)
    return Image("old", directory)
