"""What tests of old releases beside new ones share."""

from pathlib import Path

import pytest

from tests.chaos.conftest import short_directory
from tests.chaos.image import Image
from tests.compat.old_release import OLD_COMMIT, is_there, old_release
from tests.orchestrator.conftest import redis

__all__ = ["old_image", "redis", "short_directory"]


@pytest.fixture
def old_image(short_directory: Path) -> Image:
    """The code of the release before this one."""
    if not is_there():
        pytest.skip(f"the commit {OLD_COMMIT[:7]}, which stands for the old release, is not in this clone")
    return old_release(short_directory / "old")
