"""How a proposal is made out of what was drafted ahead: plain data in, plain data out."""

from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple


class AheadOutcome(Enum):
    """What the target's verdict made of the tokens that were drafted ahead of it; see the contract."""

    NONE = auto()
    CONTINUED = auto()
    GUESSED = auto()
    MISSED = auto()


class Proposal(NamedTuple):
    """Draft ids, the first `num_ahead_tokens` of which were there before they were asked for.

    `distributions` are what they were drawn from, encoded, one for each id; none where draft and target share noise.
    `num_dropped_tokens` had been drafted ahead behind other outcomes than the one that came.
    """

    draft_ids: tuple[int, ...]
    num_ahead_tokens: int
    distributions: tuple[bytes, ...] = ()
    ahead_outcome: AheadOutcome = AheadOutcome.NONE
    num_dropped_tokens: int = 0


def drafted_ahead(
    known_ids: Sequence[int], position: int, committed_ids: Sequence[int]
) -> tuple[int, ...] | None:
    """Return the ids that follow the committed ones in a cache, or None where it holds others or too few.

    Example: known [5, 6, 7, 8, 9] and committed [7, 8] from position 2 on give (9,); committed [7, 1] give None.
    """
    end = position + len(committed_ids)
    if list(known_ids[position:end]) != list(committed_ids):
        return None
    return tuple(known_ids[end:])
