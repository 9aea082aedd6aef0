"""What client processes are to do, and what they tell of it."""

from dataclasses import dataclass, field

from benchmarks.simulation.histogram import Histogram
from paceline.client.generation import Speculation


@dataclass(frozen=True)
class Window:
    """What arrives between these times counts; they are of the system's monotonic clock, which all processes share."""

    begin: float
    end: float


@dataclass(frozen=True)
class Begun:
    """Sessions of a process that have got their first tokens, once that are all, or after all patience."""

    num_sessions: int


@dataclass(frozen=True)
class LoadPlan:
    """The sessions of one client process: each generates, and then again with another prompt, until its window ends.

    Attributes:
        addresses: Orchestrators; session i talks to number i modulo their count.
        first_session, num_sessions: Which sessions.
        starts_at, starts_per_second: When session 0 starts, on the monotonic clock, and how fast the others follow.
        patience_seconds: How long the process waits for its sessions to begin.
        turn: Makes the prompts of this load differ from those of others.
        min_prompt_tokens, max_prompt_tokens: Between which the lengths of prompts lie.
        max_tokens: Tokens of each generation.
        prompts: Texts that take the place of made-up prompts, in turn; for models that are not simulated.
    """

    addresses: tuple[str, ...]
    first_session: int
    num_sessions: int
    starts_at: float
    starts_per_second: float
    patience_seconds: float
    turn: int
    min_prompt_tokens: int
    max_prompt_tokens: int
    max_tokens: int
    speculation: Speculation
    prompts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Generation:
    """One generation that ended in the window; seconds are sums over its rounds.

    `num_judged_tokens` counts the draft tokens that the target compared: up to the first refused one of each round.
    """

    num_prompt_tokens: int
    num_rounds: int
    num_drafted_rounds: int
    num_draft_tokens: int
    num_judged_tokens: int
    num_accepted_tokens: int
    total_seconds: float
    draft_seconds: float
    verify_seconds: float
    queue_seconds: float
    network_seconds: float
    commit_seconds: float
    first_token_seconds: float


@dataclass
class LoadResult:
    """What arrived in the window.

    Attributes:
        round_seconds: Between one chunk of a session and the next.
        num_open_sessions: Sessions that had an open stream with tokens on it at the window's end.
        failures: Refused or broken calls by what was said, from the beginning on.
    """

    num_tokens: int = 0
    num_rounds: int = 0
    num_open_sessions: int = 0
    round_seconds: Histogram = field(default_factory=Histogram)
    generations: list[Generation] = field(default_factory=list[Generation])
    failures: dict[str, int] = field(default_factory=dict[str, int])
