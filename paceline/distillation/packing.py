"""Texts of many lengths laid side by side into rows of one length."""

from collections.abc import Sequence


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return the indices of the texts in each row, by first fit, the longest first; none is longer than a row.

    Example: the lengths 3, 6, 4, 5 in rows of 9 give [[1, 0], [3, 2]].
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda one: -lengths[one]):
        place = next((place for place, left in enumerate(room) if left >= lengths[index]), None)
        if place is None:
            rows.append([])
            room.append(capacity)
            place = -1
        rows[place].append(index)
        room[place] -= lengths[index]
    return rows
