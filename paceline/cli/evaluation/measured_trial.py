"""What a trial through the real services came to, as the journal keeps it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from paceline.cli.benchmark.process_usage import ProcessUsage
from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.benchmark.trial import Variant
from paceline.client.completion import Arrival, Completion

ALL_KINDS = "all"
# Redis has no pool of its own: it is part of what runs the rounds.
_POOL_OF_PROCESS = {"redis": "orchestrator"}


@dataclass(frozen=True)
class Answer:
    """One answer as it arrived.

    Attributes:
        kind: Of its prompt.
        prompt: The prompt's name.
        token_ids: All of them, an end-of-generation id included.
        arrivals: When they came, and of which rounds.
        num_draft_tokens: Draft tokens that the target judged.
        num_accepted_tokens: Those that it accepted.
        num_drafted_rounds: Rounds that had a draft token.
    """

    kind: str
    prompt: str
    token_ids: tuple[int, ...]
    arrivals: tuple[Arrival, ...]
    num_draft_tokens: int
    num_accepted_tokens: int
    num_drafted_rounds: int

    @property
    def seconds(self) -> float:
        """Seconds from the request to the last token."""
        return self.arrivals[-1].seconds

    @property
    def first_token_seconds(self) -> float:
        """Seconds from the request to the first token."""
        return self.arrivals[0].seconds

    @property
    def gaps(self) -> list[float]:
        """Seconds between an arrival of text and the next."""
        return [
            later.seconds - earlier.seconds
            for earlier, later in zip(self.arrivals, self.arrivals[1:], strict=False)
        ]

    @property
    def num_decoded_tokens(self) -> int:
        """Tokens after the first arrival."""
        return len(self.token_ids) - self.arrivals[0].num_tokens

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens a second after the first arrival; None where all came at once."""
        if len(self.arrivals) < 2:
            return None
        return self.num_decoded_tokens / (self.seconds - self.first_token_seconds)


# What trials that are compared with each other have in common: the repeat, and each prompt's kind and name.
TrialKey = tuple[int, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class MeasuredTrial:
    """Some prompts answered at once, one way.

    Attributes:
        draft: The draft of the cluster, also where the target decoded alone.
        variant: How.
        repeat: Trials of one repeat and the same prompts are compared with each other.
        answers: One for each prompt.
        cpu_seconds: Of the processes, by pool; empty where it cannot be read.
        memory_bytes: The most that the processes held so far, by pool; empty where it cannot be read.
        joules: Of the whole machine meanwhile; None where it cannot be read.
    """

    draft: str
    variant: Variant
    repeat: int
    answers: tuple[Answer, ...]
    cpu_seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    memory_bytes: Mapping[str, int] = field(default_factory=dict[str, int])
    joules: float | None = None

    @property
    def kind(self) -> str:
        """The kind of the prompts, "all" where there are several."""
        kinds = {answer.kind for answer in self.answers}
        return kinds.pop() if len(kinds) == 1 else ALL_KINDS

    @property
    def key(self) -> TrialKey:
        """What it is compared with has the same."""
        return self.repeat, tuple((answer.kind, answer.prompt) for answer in self.answers)

    @property
    def num_tokens(self) -> int:
        """Tokens of all answers."""
        return sum(len(answer.token_ids) for answer in self.answers)

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens a second after the first ones, all answers together; None where one came all at once."""
        rates = [answer.tokens_per_second for answer in self.answers]
        known = [rate for rate in rates if rate is not None]
        return sum(known) if len(known) == len(rates) else None


def answer_of(prompt: BenchPrompt, completion: Completion) -> Answer:
    """Return what is kept of a completion."""
    speculation = completion.summary.speculation
    num_drafted = speculation.num_drafted_per_position
    return Answer(
        prompt.kind,
        prompt.name,
        completion.token_ids,
        completion.arrivals,
        speculation.num_draft_tokens,
        speculation.num_accepted_tokens,
        num_drafted[0] if num_drafted else 0,
    )


def cpu_seconds_by_pool(
    before: Mapping[str, ProcessUsage], after: Mapping[str, ProcessUsage]
) -> dict[str, float]:
    """Return the CPU seconds between two readings of processes, by pool."""
    found: dict[str, float] = {}
    for name in before.keys() & after.keys():
        seconds = after[name].cpu_seconds - before[name].cpu_seconds
        found[_pool_of(name)] = found.get(_pool_of(name), 0.0) + seconds
    return found


def memory_by_pool(usage: Mapping[str, ProcessUsage]) -> dict[str, int]:
    """Return the most memory that processes held, by pool."""
    found: dict[str, int] = {}
    for name, one in usage.items():
        found[_pool_of(name)] = found.get(_pool_of(name), 0) + one.peak_memory_bytes
    return found


def with_variant(trials: Sequence[MeasuredTrial], variant: Variant) -> list[MeasuredTrial]:
    """Return the trials of one way of generating."""
    return [trial for trial in trials if trial.variant == variant]


def _pool_of(process: str) -> str:
    """Return the pool of a process. Example: "draft-0" is of "draft"."""
    pool = process.partition("-")[0]
    return _POOL_OF_PROCESS.get(pool, pool)
