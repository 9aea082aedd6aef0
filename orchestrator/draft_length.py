"""How many draft tokens a round asks for: a decision, plain data in and plain data out."""

from typing import NamedTuple


class RoundOutlook(NamedTuple):
    """What the decision is made from."""

    round: int
    num_wanted: (
        int  # draft tokens a round as the request or the configuration has it; 0 turns speculation off
    )
    num_remaining: int  # tokens that may still be generated, at least 1
    max_ahead: int  # draft tokens that the draft may guess past its proposal


class DraftLength(NamedTuple):
    """What is asked of the draft."""

    num_draft_tokens: int
    max_ahead_tokens: int


def fixed_draft_length(outlook: RoundOutlook) -> DraftLength:
    """Ask for the same number each round, and never for a token that could not be sent.

    The target adds one token of its own, so at most `num_remaining - 1` drafts are of use. Round 0 only brings
    the caches to the prompt. Example: wanted 5, remaining 3 -> 2 drafts and nothing ahead of them.
    """
    num_useful = outlook.num_remaining - 1
    if outlook.round == 0:
        return DraftLength(0, _ahead(outlook, num_useful))
    num_draft_tokens = min(outlook.num_wanted, num_useful)
    return DraftLength(num_draft_tokens, _ahead(outlook, num_useful - num_draft_tokens))


def _ahead(outlook: RoundOutlook, num_useful: int) -> int:
    return min(outlook.max_ahead, num_useful) if outlook.num_wanted else 0
