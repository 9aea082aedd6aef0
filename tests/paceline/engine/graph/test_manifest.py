"""A manifest is read back as it was written, or refused with what to do."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.graph.manifest import FORMAT_VERSION, MANIFEST_FILE, Manifest
from tests.paceline.engine.tiny_models import LLAMA

MANIFEST = Manifest("tiny", "int8", "built", LLAMA, "tiny.gguf", source_sha256="ab")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def written(directory: Path, **changes: Any) -> Path:
    """A directory whose manifest has other fields."""
    MANIFEST.write(directory)
    path = directory / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")
    return directory


def test_a_manifest_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    MANIFEST.write(tmp_path)
    assert Manifest.read(tmp_path) == MANIFEST


def test_a_directory_without_a_manifest_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="paceline models prepare") as caught:
        Manifest.read(tmp_path)
    assert caught.value.facts == {"path": str(tmp_path)}


@pytest.mark.parametrize("changes", [{}, {"a_field_of_that_format": 1}, {"architecture": {"other": 1}}])
def test_another_format_is_refused_whatever_its_fields_are(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedModelError, match="Prepare the model again"):
        Manifest.read(written(tmp_path, format_version=FORMAT_VERSION + 1, **changes))


def test_an_architecture_that_is_not_supported_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="'mamba' is not supported"):
        Manifest.read(written(tmp_path, architecture=LLAMA.to_json() | {"family": "mamba"}))


@pytest.mark.parametrize("changes", [{"unknown": 1}, {"architecture": None}, {"architecture": []}])
def test_unknown_and_malformed_fields_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedModelError):
        Manifest.read(written(tmp_path, **changes))


@given(content=st.binary(max_size=50) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=100, deadline=None)
def test_garbage_is_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    directory = tmp_path_factory.mktemp("garbage")
    (directory / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(UnsupportedModelError):
        Manifest.read(directory)
