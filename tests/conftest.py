"""Handling of the markers that pyproject.toml declares."""

from importlib.util import find_spec

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in ("torch", "transformers", "optimum") if find_spec(name) is None]
    if not missing:
        return
    skip = pytest.mark.skip(reason=f"not installed: {', '.join(missing)} (`make setup` installs them)")
    for item in items:
        if item.get_closest_marker("reference"):
            item.add_marker(skip)
