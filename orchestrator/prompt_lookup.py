"""A drafter that costs nothing: what followed the latest tokens where they appeared before.

After Saxena, "Prompt Lookup Decoding" (2023, github.com/apoorvumang/prompt-lookup-decoding): code, summaries and chats
repeat their own text.
"""

from collections.abc import Sequence

LONGEST_MATCH = 4
SHORTEST_MATCH = 2


class PromptLookup:
    """Finds, for ids that only grow, where their last few appeared before; each id is indexed once.

    Example: ids [1, 2, 3, 9, 1, 2] end like [1, 2] at the start, so [3, 9, 1] are proposed where three are wanted.
    """

    def __init__(self) -> None:
        self._end_of: dict[
            tuple[int, ...], int
        ] = {}  # position after the latest appearance, the last one excepted
        self._num_indexed = 0

    def propose(self, ids: Sequence[int], num_draft_tokens: int) -> tuple[int, ...]:
        """Return up to `num_draft_tokens` ids that may follow `ids`; none where the end is new."""
        self._index(ids)
        for length in range(LONGEST_MATCH, SHORTEST_MATCH - 1, -1):
            if len(ids) > length and (end := self._end_of.get(tuple(ids[-length:]))) is not None:
                return tuple(ids[end : end + num_draft_tokens])
        return ()

    def _index(self, ids: Sequence[int]) -> None:
        """Index what ends before the last id, so that the end itself is never found."""
        for end in range(max(1, self._num_indexed), len(ids)):
            for length in range(SHORTEST_MATCH, min(LONGEST_MATCH, end) + 1):
                self._end_of[tuple(ids[end - length : end])] = end
        self._num_indexed = max(self._num_indexed, len(ids))
