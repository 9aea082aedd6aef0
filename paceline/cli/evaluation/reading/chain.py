"""Rounds walked along an agreement chain: plain data in, plain data out.

A chain says for each position of the target's text whether the draft, given all of the text before it, would choose the
same token. Accepted draft tokens are the target's own text, so that what a round of any length accepts follows from the
chain exactly. Example: with agrees T T F T T, rounds of 2 draft tokens accept 2 and 2: the third token is the target's
own after the first round, and the fifth ends the text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

Chain = Sequence[bool]


@dataclass(frozen=True)
class WalkedRound:
    """A round of K draft tokens: how many of them are accepted, and whether that is all K."""

    num_accepted: int
    is_full: bool


def walk_rounds(agrees: Chain, num_draft_tokens: int) -> list[WalkedRound]:
    """Return the rounds that bring a text, each with `num_draft_tokens` draft tokens, at least one.

    Each brings the accepted tokens and one of the target's own. The last round ends with the text: draft tokens behind
    it are not counted as accepted, and there is no token of the target's own where all before the end were accepted.
    """
    assert num_draft_tokens > 0
    rounds: list[WalkedRound] = []
    start = 0
    while start < len(agrees):
        drafted = agrees[start : start + num_draft_tokens]
        num_accepted = sum(takewhile(bool, drafted))
        rounds.append(WalkedRound(num_accepted, num_accepted == num_draft_tokens))
        start += num_accepted + 1
    return rounds


def tokens_per_round(chains: Sequence[Chain], num_draft_tokens: int) -> float:
    """Return the mean tokens that a round brings, over all rounds of all texts."""
    return sum(map(len, chains)) / sum(len(walk_rounds(chain, num_draft_tokens)) for chain in chains)


def acceptance_by_place(chains: Sequence[Chain], num_draft_tokens: int) -> tuple[float, ...]:
    """Return for each place in a round the share of draft tokens there that are accepted, of those that are reached.

    A place is reached where all before it are accepted and the text goes on so far; after the first place that no round
    reaches there is nothing. Example: the chain T F, T F in rounds of 2 gives (1.0, 0.0).
    """
    num_reached, num_accepted = [0] * num_draft_tokens, [0] * num_draft_tokens
    for chain in chains:
        start = 0
        for walked in walk_rounds(chain, num_draft_tokens):
            num_judged = min(walked.num_accepted + 1, num_draft_tokens, len(chain) - start)
            for place in range(num_judged):
                num_reached[place] += 1
                num_accepted[place] += place < walked.num_accepted
            start += walked.num_accepted + 1
    pairs = takewhile(lambda pair: pair[1], zip(num_accepted, num_reached, strict=True))
    return tuple(accepted / reached for accepted, reached in pairs)
