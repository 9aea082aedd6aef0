from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.models.errors import InvalidModelFileError
from paceline.models.gguf_file import read_gguf


@pytest.fixture(scope="session")
def small_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_string("text", "日本語")
    writer.add_uint32("count", 7)
    writer.add_int64("negative", -(2**40))
    writer.add_float32("ratio", 0.5)
    writer.add_bool("flag", True)
    writer.add_array("words", ["a", "", "é"])
    writer.add_array("numbers", [3, 1, 2])
    writer.add_tensor("weight", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.add_tensor("bias", np.arange(5, dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_every_kind_of_metadata_is_read(small_gguf: Path):
    assert read_gguf(small_gguf).metadata == {
        "general.architecture": "llama",
        "text": "日本語",
        "count": 7,
        "negative": -(2**40),
        "ratio": 0.5,
        "flag": True,
        "words": ["a", "", "é"],
        "numbers": [3, 1, 2],
    }


def test_tensors_lie_where_the_table_says(small_gguf: Path):
    data = small_gguf.read_bytes()
    weight, bias = read_gguf(small_gguf).tensors
    assert (weight.name, weight.shape, bias.name, bias.shape) == ("weight", (2, 3), "bias", (5,))
    assert np.array_equal(np.frombuffer(data, np.float32, 6, weight.offset), np.arange(6))
    assert np.array_equal(np.frombuffer(data, np.float16, 5, bias.offset), np.arange(5))


def test_a_real_file_is_read_as_the_gguf_package_reads_it(smollm2_path: Path):
    ours, theirs = read_gguf(smollm2_path), GGUFReader(smollm2_path)
    assert [(one.name, one.offset, one.type_id) for one in ours.tensors] == [
        (one.name, one.data_offset, one.tensor_type.value) for one in theirs.tensors
    ]
    assert [one.shape for one in ours.tensors] == [tuple(map(int, one.shape))[::-1] for one in theirs.tensors]
    assert ours.metadata == {
        key: field.contents() for key, field in theirs.fields.items() if not key.startswith("GGUF.")
    }


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_cut_header_is_refused(
    small_gguf: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    header = small_gguf.read_bytes()[: read_gguf(small_gguf).tensors[0].offset - 32]
    path = tmp_path_factory.mktemp("cut") / "cut.gguf"
    path.write_bytes(header[: data.draw(st.integers(0, len(header) - 1))])
    with pytest.raises(InvalidModelFileError):
        read_gguf(path)


@given(data=st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_garbage_is_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    path = tmp_path_factory.mktemp("garbage") / "garbage.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00" + b"\xff" + data)
    with pytest.raises(InvalidModelFileError):
        read_gguf(path)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(InvalidModelFileError, match="No such file"):
        read_gguf(tmp_path / "missing.gguf")
