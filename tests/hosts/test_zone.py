"""The name server's answers, read as RFC 1035 has them."""

import struct

from tests.hosts.zone import Zone

NAME = "targets.paceline.test"
TYPE_A, TYPE_AAAA = 1, 28
NO_ERROR, NO_SUCH_NAME = 0, 3


def query(name: str, kind: int) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!6H", 77, 0x0100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)


def read(asked: bytes, answer: bytes) -> tuple[int, list[str]]:
    """Return the code and the addresses of an answer."""
    identifier, flags, num_questions, num_answers, _, _ = struct.unpack_from("!6H", answer)
    assert (identifier, num_questions) == (77, 1)
    assert flags & 0x8000
    assert answer[12 : len(asked)] == asked[12:]
    records = [
        struct.unpack_from("!3HIH4B", answer, len(asked) + 16 * number) for number in range(num_answers)
    ]
    assert len(answer) == len(asked) + 16 * num_answers
    assert all(record[:3] == (0xC00C, TYPE_A, 1) for record in records)
    return flags & 0xF, [".".join(map(str, record[5:])) for record in records]


def ask(zone: Zone, name: str, kind: int = TYPE_A) -> tuple[int, list[str]]:
    asked = query(name, kind)
    return read(asked, zone.answer(asked))


def test_a_name_stands_for_all_its_addresses_as_they_change() -> None:
    zone = Zone()
    zone.put(NAME, ["192.0.2.1", "192.0.2.2"])
    assert ask(zone, NAME) == (NO_ERROR, ["192.0.2.1", "192.0.2.2"])
    zone.put(NAME, ["192.0.2.2"])
    assert ask(zone, NAME.upper()) == (NO_ERROR, ["192.0.2.2"])


def test_a_name_without_addresses_is_known_and_another_one_is_not() -> None:
    zone = Zone()
    zone.put(NAME, [])
    assert ask(zone, NAME) == (NO_ERROR, [])
    assert ask(zone, "nobody.paceline.test") == (NO_SUCH_NAME, [])


def test_a_name_has_no_addresses_of_another_kind() -> None:
    zone = Zone()
    zone.put(NAME, ["192.0.2.1"])
    assert ask(zone, NAME, TYPE_AAAA) == (NO_ERROR, [])
