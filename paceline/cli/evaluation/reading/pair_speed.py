"""How fast a pair would be, from steps that were measured alone: plain data in, plain data out."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from paceline.cli.evaluation.reading.chain import Chain, walk_rounds


class PairCosts(NamedTuple):
    """Seconds of a target's pass of so many rows, and of a draft's step."""

    pass_seconds: Callable[[int], float]
    draft_step_seconds: float


class PairSpeed(NamedTuple):
    """The draft length that is fastest, and the tokens a second that it brings."""

    num_draft_tokens: int
    tokens_per_second: float


def best_speed(chains: Sequence[Chain], numbers: Iterable[int], costs: PairCosts) -> PairSpeed:
    """Return the fastest of some draft lengths on texts with these agreement chains; of equals the shortest."""
    speeds = [PairSpeed(number, tokens_per_second(chains, number, costs)) for number in sorted(numbers)]
    return max(speeds, key=lambda speed: speed.tokens_per_second)


def tokens_per_second(chains: Sequence[Chain], num_draft_tokens: int, costs: PairCosts) -> float:
    """Return the speed of rounds of K draft tokens, prompts left out.

    After a round that accepted all of them the draft is ahead and costs nothing as long as it is faster than the pass
    that verifies; otherwise it begins when the verdict is known, and the target waits for all K tokens.
    """
    verify = costs.pass_seconds(num_draft_tokens + 1)
    draft = num_draft_tokens * costs.draft_step_seconds
    seconds = 0.0
    for chain in chains:
        is_ahead = False
        for walked in walk_rounds(chain, num_draft_tokens):
            seconds += max(verify, draft) if is_ahead else verify + draft
            is_ahead = walked.is_full
    return sum(map(len, chains)) / seconds
