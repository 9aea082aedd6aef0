"""The names of the hosts, as a name server answers for them (RFC 1035)."""

import socket
import struct
from collections.abc import Iterable

_HEADER = struct.Struct(
    "!6H"
)  # id, flags, number of questions, of answers, and of two other kinds of records
_QUESTION_END = struct.Struct("!2H")  # type, class
_ANSWER = struct.Struct(
    "!3HIH4s"
)  # where the name is, type, class, seconds to live, length of the data, address
_IS_ANSWER, _IS_AUTHORITATIVE, _RECURSION_WANTED, _RECURSION_OFFERED = 0x8000, 0x0400, 0x0100, 0x0080
_NO_SUCH_NAME = 3
_TYPE_A, _CLASS_INTERNET = 1, 1
_NAME_OF_QUESTION = 0xC000 | _HEADER.size
# Nobody may keep an answer, so that a change is seen at the next question.
_TTL_SECONDS = 0


class Zone:
    """IPv4 addresses by name."""

    def __init__(self) -> None:
        self._addresses: dict[str, tuple[str, ...]] = {}

    def put(self, name: str, addresses: Iterable[str]) -> None:
        """Have a name stand for other addresses than before."""
        self._addresses[name] = tuple(addresses)

    def answer(self, query: bytes) -> bytes:
        """Return the answer to a query of one question; a name has no records but its addresses."""
        identifier, flags, *_ = _HEADER.unpack_from(query)
        name, end = _name_at(query, _HEADER.size)
        kind, _ = _QUESTION_END.unpack_from(query, end)
        addresses = self._addresses.get(name)
        records = [_record(address) for address in addresses or () if kind == _TYPE_A]
        flags = _IS_ANSWER | _IS_AUTHORITATIVE | flags & _RECURSION_WANTED | _RECURSION_OFFERED
        flags |= _NO_SUCH_NAME if addresses is None else 0
        header = _HEADER.pack(identifier, flags, 1, len(records), 0, 0)
        return b"".join((header, query[_HEADER.size : end + _QUESTION_END.size], *records))


def _record(address: str) -> bytes:
    packed = socket.inet_aton(address)
    return _ANSWER.pack(_NAME_OF_QUESTION, _TYPE_A, _CLASS_INTERNET, _TTL_SECONDS, len(packed), packed)


def _name_at(message: bytes, offset: int) -> tuple[str, int]:
    """Return the name at an offset, in lower case, and where it ends."""
    labels: list[str] = []
    while length := message[offset]:
        labels.append(message[offset + 1 : offset + 1 + length].decode().lower())
        offset += 1 + length
    return ".".join(labels), offset + 1
