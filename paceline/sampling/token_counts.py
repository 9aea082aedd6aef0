"""How often each token is in a growing context."""

from collections.abc import Sequence

import numpy as np


class TokenCounts:
    """Counts of distinct ids. Taking in a long context sorts it once; a further token costs microseconds.

    Attributes:
        ids: Distinct ids, ascending, int64 [num_distinct].
        counts: How often each of them was added, int64 [num_distinct].
    """

    def __init__(self) -> None:
        self.ids = np.empty(0, np.int64)
        self.counts = np.empty(0, np.int64)

    def add(self, token_ids: Sequence[int]) -> None:
        """Count some more ids."""
        if not len(self.ids):
            self.ids, self.counts = np.unique(np.array(token_ids, np.int64), return_counts=True)
            return
        for token_id in token_ids:
            at = int(np.searchsorted(self.ids, token_id))
            if at < len(self.ids) and self.ids[at] == token_id:
                self.counts[at] += 1
            else:
                self.ids = np.insert(self.ids, at, token_id)
                self.counts = np.insert(self.counts, at, 1)
