"""The ids that a session's cache holds or is about to hold, with a work running."""

from collections.abc import Sequence
from itertools import takewhile
from operator import eq
from typing import NamedTuple

import numpy as np

from paceline.engine.work import TokenIds, WorkHandle


class Extension(NamedTuple):
    """Where a work starts and which ids it gets so that the cache comes to hold the wanted ones."""

    position: int
    token_ids: TokenIds  # [num_tokens], at least one


class DraftedIds:
    """Ids of the latest work and what it has chosen so far.

    A work may fail, and then leaves the sequence as it was; so until it has ended, only the ids before its
    position are certain.
    """

    def __init__(self, known_ids: Sequence[int] = ()) -> None:
        self._base = list(known_ids)  # ids up to the last that was given to the latest work
        self._latest: WorkHandle | None = None
        self._num_held = len(self._base)  # of these, what the sequence holds while there is no work

    @property
    def known(self) -> list[int]:
        """All ids so far."""
        return self._base + (self._latest.chosen_ids if self._latest is not None else [])

    @property
    def latest(self) -> WorkHandle | None:
        """The work that was begun last, running or ended."""
        return self._latest

    def extension(self, position: int, token_ids: Sequence[int] = ()) -> Extension:
        """Return what brings the cache to `known[:position] + token_ids`.

        Certain ids are not repeated, except for the last, whose row is to choose the next one.
        """
        wanted = [*self.known[:position], *token_ids]
        start = min(position, self._num_certain, len(wanted) - 1)
        return Extension(start, np.array(wanted[start:], np.int64))

    def begin(self, handle: WorkHandle) -> None:
        """Take note of a submitted work."""
        work = handle.work
        self._base = [*self.known[: work.position], *work.token_ids.tolist()]
        self._latest = handle

    def fall_back(self, handle: WorkHandle, sequence_ids: Sequence[int]) -> None:
        """Take note that a work has failed; `sequence_ids` are then what the sequence holds."""
        if handle is self._latest:
            self._base, self._latest = list(sequence_ids), None
            self._num_held = len(self._base)

    def fall_back_to_given(self, handle: WorkHandle, sequence_ids: Sequence[int]) -> None:
        """Take note that a work has failed whose given ids are still the text; the sequence may hold only some of them.

        A sequence that was forked holds what its source held, which may go on in another way.
        """
        if handle is self._latest:
            alike = takewhile(bool, map(eq, self._base, sequence_ids))
            self._latest, self._num_held = None, sum(alike)

    @property
    def _num_certain(self) -> int:
        if self._latest is None:
            return self._num_held
        future = self._latest.future
        if not future.done() or future.exception() is not None:
            return self._latest.work.position
        # The last id may have been chosen and not yet appended.
        return len(self._base) + max(0, len(self._latest.chosen_ids) - 1)
