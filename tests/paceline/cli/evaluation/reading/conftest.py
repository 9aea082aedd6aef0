"""Small random models for all tests of this folder."""

from pathlib import Path

import pytest

from tests.end_to_end.tiny_cluster import write_models


@pytest.fixture(scope="session")
def random_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_models(tmp_path_factory.mktemp("models"))
