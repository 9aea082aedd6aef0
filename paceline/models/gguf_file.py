"""A GGUF file's metadata and tensor table, read in one pass.

Follows https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian. It exists
because the `gguf` package's reader keeps every string as its own array: 7 s for a vocabulary of 152k tokens,
against 0.15 s here.
"""

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from paceline.models.errors import InvalidModelFileError

MAGIC = b"GGUF"
SUPPORTED_VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32

STRING_TYPE = 8
ARRAY_TYPE = 9
SCALAR_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

GgufScalar: TypeAlias = bool | int | float | str
GgufValue: TypeAlias = GgufScalar | list[GgufScalar]


@dataclass(frozen=True)
class GgufTensor:
    """Where one tensor lies: `shape` is in numpy's order, `offset` counts bytes from the file's start.

    `type_id` is the number that `gguf.GGMLQuantizationType` names.
    """

    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int


@dataclass(frozen=True)
class GgufFile:
    """The header of a GGUF file: every metadata value, and every tensor's place."""

    path: Path
    version: int
    metadata: dict[str, GgufValue]
    tensors: tuple[GgufTensor, ...]


def read_gguf(path: Path) -> GgufFile:
    """Read the header of a GGUF file; tensor data are not touched.

    Raises InvalidModelFileError when the file is not GGUF, is cut short or is of an unknown version.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read_header(path, data)
    except (OSError, ValueError, struct.error) as error:
        raise InvalidModelFileError(path, f"cannot be read as GGUF: {error}") from error


def _read_header(path: Path, data: mmap.mmap) -> GgufFile:
    cursor = _Cursor(data)
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("it does not start with GGUF")
    cursor.offset = len(MAGIC)
    version = cursor.integer("I")
    if version not in SUPPORTED_VERSIONS:
        raise ValueError(f"version {version} is not one of {SUPPORTED_VERSIONS}")
    num_tensors, num_entries = cursor.integer("Q"), cursor.integer("Q")
    metadata = {cursor.string(): cursor.value(cursor.integer("I")) for _ in range(num_entries)}
    tensors = [_read_tensor(cursor) for _ in range(num_tensors)]
    data_start = _aligned(cursor.offset, metadata.get("general.alignment", DEFAULT_ALIGNMENT))
    placed = (GgufTensor(one.name, one.shape, one.type_id, data_start + one.offset) for one in tensors)
    return GgufFile(path, version, metadata, tuple(placed))


def _read_tensor(cursor: "_Cursor") -> GgufTensor:
    name = cursor.string()
    num_dimensions = cursor.integer("I")
    innermost_first = [cursor.integer("Q") for _ in range(num_dimensions)]
    return GgufTensor(name, tuple(reversed(innermost_first)), cursor.integer("I"), cursor.integer("Q"))


def _aligned(offset: int, alignment: GgufValue) -> int:
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError(f"general.alignment is {alignment!r}")
    return -(-offset // alignment) * alignment


class _Cursor:
    """A position in the mapped file that moves past what it reads."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.offset = 0

    def integer(self, code: str) -> int:
        value = self._scalars(code, 1)[0]
        return int(value)

    def string(self) -> str:
        start = self.offset + 8
        (num_bytes,) = struct.unpack_from("<Q", self._data, self.offset)
        self._require(8 + num_bytes)
        self.offset = start + num_bytes
        return self._data[start : self.offset].decode("utf-8")

    def value(self, type_id: int) -> GgufValue:
        if type_id == STRING_TYPE:
            return self.string()
        if type_id == ARRAY_TYPE:
            return self._array()
        return self._scalars(_scalar_code(type_id), 1)[0]

    def _array(self) -> list[GgufScalar]:
        element_type, num_elements = self.integer("I"), self.integer("Q")
        if element_type == STRING_TYPE:
            return [self.string() for _ in range(num_elements)]
        return list(self._scalars(_scalar_code(element_type), num_elements))

    def _scalars(self, code: str, count: int) -> tuple[bool | int | float, ...]:
        # Checked before unpacking, so that a corrupt count cannot ask for gigabytes.
        self._require(struct.calcsize(code) * count)
        layout = f"<{count}{code}"
        values = struct.unpack_from(layout, self._data, self.offset)
        self.offset += struct.calcsize(layout)
        return values

    def _require(self, num_bytes: int) -> None:
        if self.offset + num_bytes > len(self._data):
            raise ValueError(f"it ends inside its header, at byte {len(self._data)}")


def _scalar_code(type_id: int) -> str:
    if type_id not in SCALAR_FORMATS:
        raise ValueError(f"metadata type {type_id} is not known")
    return SCALAR_FORMATS[type_id]
