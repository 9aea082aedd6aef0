"""How much is measured: how many prompts, tokens and repeats, so that an evaluation ends in minutes or in hours."""

from collections.abc import Mapping
from dataclasses import dataclass

from paceline.cli.evaluation.section import Section

# The built-in kinds, over which the amounts are reckoned.
_NUM_KINDS = 5
_ALL_PROMPTS = 1_000_000


@dataclass(frozen=True)
class ReadingAmount:
    """How much text is read with both models in this process.

    Attributes:
        prompts_per_kind: Prompts of each of five kinds; with fewer kinds there are more of each.
        max_tokens: Most tokens of the target's text to each.
    """

    prompts_per_kind: int
    max_tokens: int


@dataclass(frozen=True)
class TrialAmount:
    """How many trials are made through the real services.

    Attributes:
        prompts_per_kind: As in `ReadingAmount`.
        max_tokens: Most tokens of each answer.
        num_repeats: How often each prompt is measured each way.
        sessions: How many of them run at once.
    """

    prompts_per_kind: int
    max_tokens: int
    num_repeats: int
    sessions: tuple[int, ...] = (1,)


@dataclass(frozen=True)
class Amount:
    """The amounts of all sections.

    `acceptance` covers at least the prompts and tokens of `speed`, whose speed-up is predicted from it. `minutes` are
    what the sections take on two cores with the reference pair, its models prepared: bars are drawn by them.
    `sections` are looked into unless others are wanted. `rebuilt_shares` are the lengths of the caches that are
    rebuilt, as shares of a session.
    """

    name: str
    num_draft_tokens: tuple[int, ...]
    acceptance: ReadingAmount
    formats: ReadingAmount
    speed: TrialAmount
    load: TrialAmount
    minutes: Mapping[Section, float]
    sections: tuple[Section, ...] = tuple(Section)
    rebuilt_shares: tuple[float, ...] = (0.25, 1.0)

    def __post_init__(self) -> None:
        """See to it that a prediction has its texts."""
        assert self.acceptance.prompts_per_kind >= self.speed.prompts_per_kind
        assert self.acceptance.max_tokens >= self.speed.max_tokens


def prompts_per_kind(amount: int, num_kinds: int) -> int:
    """Return how many prompts of each kind there are where there are so many kinds.

    Example: an amount of 2 is 2 of each of five kinds, and 10 of a single one.
    """
    return amount * max(1, _NUM_KINDS // num_kinds)


QUICK = Amount(
    "quick",
    num_draft_tokens=(2, 5),
    acceptance=ReadingAmount(prompts_per_kind=1, max_tokens=32),
    formats=ReadingAmount(prompts_per_kind=1, max_tokens=16),
    speed=TrialAmount(prompts_per_kind=1, max_tokens=24, num_repeats=3),
    load=TrialAmount(prompts_per_kind=1, max_tokens=16, num_repeats=2, sessions=(1, 4)),
    minutes={
        Section.ACCEPTANCE: 1.3,
        Section.SPEED: 6,
        Section.LOAD: 1.7,
        Section.MEMORY: 2.1,
        Section.QUANTISATION: 12,
    },
    # A model is loaded for each format, which alone takes longer than the rest.
    sections=tuple(section for section in Section if section is not Section.QUANTISATION),
    rebuilt_shares=(0.25,),
)
DEFAULT = Amount(
    "default",
    num_draft_tokens=(2, 3, 5, 8),
    acceptance=ReadingAmount(prompts_per_kind=_ALL_PROMPTS, max_tokens=96),
    formats=ReadingAmount(prompts_per_kind=2, max_tokens=32),
    speed=TrialAmount(prompts_per_kind=2, max_tokens=64, num_repeats=3),
    load=TrialAmount(prompts_per_kind=2, max_tokens=48, num_repeats=3, sessions=(1, 4, 16)),
    minutes={
        Section.ACCEPTANCE: 4,
        Section.SPEED: 20,
        Section.LOAD: 6,
        Section.MEMORY: 3.5,
        Section.QUANTISATION: 14,
    },
)
THOROUGH = Amount(
    "thorough",
    num_draft_tokens=(1, 2, 3, 4, 5, 6, 8, 12),
    acceptance=ReadingAmount(prompts_per_kind=_ALL_PROMPTS, max_tokens=192),
    formats=ReadingAmount(prompts_per_kind=4, max_tokens=96),
    speed=TrialAmount(prompts_per_kind=4, max_tokens=96, num_repeats=5),
    load=TrialAmount(prompts_per_kind=4, max_tokens=96, num_repeats=3, sessions=(1, 4, 16)),
    minutes={
        Section.ACCEPTANCE: 25,
        Section.SPEED: 170,
        Section.LOAD: 30,
        Section.MEMORY: 1,
        Section.QUANTISATION: 40,
    },
)
