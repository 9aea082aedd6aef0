"""Numbers with commas between them, as options have them."""

import math

from paceline.errors import ConfigError

MAX_DRAFT_TOKENS = 64


def parse_num_draft_tokens(text: str) -> tuple[int, ...]:
    """Return draft lengths in rising order, none twice; raises ConfigError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and 1 <= int(part) <= MAX_DRAFT_TOKENS for part in parts):
        raise ConfigError(
            f"--num-draft-tokens {text}: write numbers from 1 to {MAX_DRAFT_TOKENS}, as in 2,3,5,8",
            setting="num_draft_tokens",
        )
    return tuple(sorted({int(part) for part in parts}))


def parse_temperatures(text: str) -> tuple[float, ...]:
    """Return temperatures in rising order, none twice and none of 0, which is greedy; raises ConfigError."""
    try:
        found = {float(part) for part in text.split(",")}
    except ValueError:
        found = {math.nan}
    if not all(math.isfinite(one) and one >= 0 for one in found):
        raise ConfigError(
            f"--temperature {text}: write numbers from 0 on, as in 0.7,1", setting="temperature"
        )
    return tuple(sorted(found - {0.0}))
