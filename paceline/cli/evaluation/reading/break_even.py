"""The acceptance at which drafting just pays: plain numbers in, plain numbers out."""

# Each halving brings one bit.
_NUM_HALVINGS = 50


def expected_tokens(acceptance: float, num_draft_tokens: int) -> float:
    """Return the tokens of a round of K draft tokens, each accepted with the same probability a, independently.

    (1 - a^(K + 1)) / (1 - a), which is 1 + a + ... + a^K. Example: a = 0.5 and K = 2 give 1.75.
    """
    return sum(acceptance**place for place in range(num_draft_tokens + 1))


def break_even_acceptance(round_seconds: float, step_seconds: float, num_draft_tokens: int) -> float | None:
    """Return the probability of acceptance at which rounds are as fast as the target alone.

    `round_seconds` is the duration of a round, `step_seconds` that of a token of the target alone. None where not even
    a draft that is always right pays, 0 where a draft that is always wrong costs nothing.

    Example: rounds of 2 draft tokens that take 1.75 steps break even at 0.5.
    """
    needed = round_seconds / step_seconds
    if needed >= num_draft_tokens + 1:
        return None
    low, high = 0.0, 1.0
    if needed <= expected_tokens(low, num_draft_tokens):
        return 0.0
    for _ in range(_NUM_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if expected_tokens(middle, num_draft_tokens) < needed else (low, middle)
    return high
