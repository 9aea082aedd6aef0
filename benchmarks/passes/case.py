"""A case: so many sessions, so many rows of each, behind a context of so many tokens."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from paceline.engine.batch import Rows
from paceline.engine.work import RowChoice


class Case(NamedTuple):
    """What one forward pass computes.

    Attributes:
        context: Tokens of each session whose KV is there already.
        num_sessions: Sessions that share the pass.
        num_rows: Rows of each session: 1 decodes, K + 1 verify K draft tokens.
    """

    context: int
    num_sessions: int
    num_rows: int

    @property
    def total_rows(self) -> int:
        """Rows of the pass, all sessions together."""
        return self.num_sessions * self.num_rows

    def num_blocks(self, block_size: int) -> int:
        """Return how many blocks of KV it needs, the padding block included."""
        return 1 + self.num_sessions * self.blocks_of_a_session(block_size)

    def blocks_of_a_session(self, block_size: int) -> int:
        """Return how many blocks hold a session's context and rows."""
        return -(-(self.context + self.num_rows) // block_size)

    def parts(self, block_size: int, vocabulary_size: int) -> list[Rows]:
        """Return the rows of every session, each in blocks of its own: shared ones would be read from the caches."""
        num_blocks = self.blocks_of_a_session(block_size)
        ids = np.random.default_rng(self.total_rows).integers(
            0, vocabulary_size, (self.num_sessions, self.num_rows)
        )
        return [
            Rows(
                ids[session].tolist(),
                self.context,
                list(range(1 + session * num_blocks, 1 + (session + 1) * num_blocks)),
                self.num_rows,
            )
            for session in range(self.num_sessions)
        ]


def grid(contexts: Sequence[int], sessions: Sequence[int], rows: Sequence[int]) -> Iterator[Case]:
    """Yield every combination, all numbers of rows of the same circumstances behind each other."""
    for context in contexts:
        for num_sessions in sessions:
            for num_rows in rows:
                yield Case(context, num_sessions, num_rows)


def cut(parts: Sequence[Rows], max_rows: int) -> Iterator[list[Rows]]:
    """Yield sessions that fit into one pass together; a session's rows are never cut.

    Example: 3 sessions of 5 rows with room for 12 are two passes, of 10 rows and of 5.
    """
    waiting: list[Rows] = []
    for part in parts:
        if waiting and sum(len(one.token_ids) for one in (*waiting, part)) > max_rows:
            yield waiting
            waiting = []
        waiting.append(part)
    if waiting:
        yield waiting


def greedy_choices(parts: Sequence[Rows]) -> list[RowChoice]:
    """Return how the ids of all rows are chosen where nothing is sampled."""
    return [RowChoice(part.start + index + 1) for part in parts for index in range(len(part.token_ids))]
