"""What the suite and a peer's process tell each other: JSON, one message a line.

The suite sends a `Load`, the peer answers with an `Outcome` or a `Failure`; its first message is `Ready`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from pydantic import TypeAdapter

Seconds: TypeAlias = float


@dataclass(frozen=True)
class Manner:
    """How to generate: the target alone, with `num_draft_tokens` a round, or with as many as the system finds best."""

    kind: Literal["target", "fixed", "adaptive"]
    num_draft_tokens: int = 0

    @property
    def name(self) -> str:
        """The name in tables, for example "K = 5"."""
        return {"target": "target-only", "fixed": f"K = {self.num_draft_tokens}", "adaptive": "adaptive"}[
            self.kind
        ]


@dataclass(frozen=True)
class Question:
    """One prompt, the same ids for every system; `seed` matters where the temperature is not zero."""

    name: str
    prompt_ids: tuple[int, ...]
    seed: int


@dataclass(frozen=True)
class Client:
    """Asks its questions one after the other, the first one `start_seconds` after the load began."""

    start_seconds: Seconds
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Load:
    """What is to be generated. Every answer ends after `max_tokens` or with one of `eos_ids`."""

    clients: tuple[Client, ...]
    manner: Manner
    max_tokens: int
    eos_ids: tuple[int, ...]
    temperature: float = 0.0


@dataclass(frozen=True)
class Arrival:
    """`num_tokens` arrived together, `seconds` after their question was due."""

    seconds: Seconds
    num_tokens: int


@dataclass(frozen=True)
class Answer:
    """The answer to one question, asked `asked_seconds` after the load began."""

    question: str
    asked_seconds: Seconds
    token_ids: tuple[int, ...]
    arrivals: tuple[Arrival, ...]

    @property
    def time_to_first_token_seconds(self) -> Seconds:
        """Seconds from when the question was due to its first tokens."""
        return self.arrivals[0].seconds

    @property
    def token_seconds(self) -> tuple[Seconds, ...]:
        """Seconds of each token after the first arrival; tokens that came together share their time."""
        return tuple(
            (arrival.seconds - before.seconds) / arrival.num_tokens
            for before, arrival in zip(self.arrivals, self.arrivals[1:], strict=False)
            for _ in range(arrival.num_tokens)
        )


@dataclass(frozen=True)
class Outcome:
    """All answers of a load, those of the first client first; the counts are 0 where a peer does not tell."""

    answers: tuple[Answer, ...]
    num_draft_tokens: int = 0
    num_accepted_tokens: int = 0

    @property
    def num_tokens(self) -> int:
        """Generated tokens of all answers."""
        return sum(len(answer.token_ids) for answer in self.answers)

    @property
    def seconds(self) -> Seconds:
        """Seconds from the first question to the last token."""
        first = min(answer.asked_seconds for answer in self.answers)
        return max(answer.asked_seconds + answer.arrivals[-1].seconds for answer in self.answers) - first

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all answers a second, the prompts' time included."""
        return self.num_tokens / self.seconds

    @property
    def decode_tokens_per_second(self) -> float | None:
        """The answers' tokens a second after their first arrivals, added up; None where all came at once."""
        spans = [answer.arrivals[-1].seconds - answer.arrivals[0].seconds for answer in self.answers]
        if not all(spans):
            return None
        numbers = [len(answer.token_ids) - answer.arrivals[0].num_tokens for answer in self.answers]
        return sum(number / span for number, span in zip(numbers, spans, strict=True))


@dataclass(frozen=True)
class Ready:
    """The peer has loaded its models: process ids by role, and what computes in words."""

    pids: Mapping[str, int]
    about: str


@dataclass(frozen=True)
class Failure:
    """The peer could not do what was asked."""

    message: str


@dataclass(frozen=True)
class RoundTrips:
    """Emulated round-trip times between orchestrator and pools; what was measured comes back in a `RoundTrips`."""

    target_ms: float
    draft_ms: float


@dataclass(frozen=True)
class Envelope:
    """One message from a peer."""

    message: Ready | Outcome | Failure | RoundTrips = field()


@dataclass(frozen=True)
class Order:
    """One message to a peer: work, or other round-trip times from now on."""

    message: Load | RoundTrips = field()


_ENVELOPES = TypeAdapter(Envelope)
_ORDERS = TypeAdapter(Order)


def write_envelope(message: Ready | Outcome | Failure | RoundTrips) -> bytes:
    """Return a peer's message as a line."""
    return _ENVELOPES.dump_json(Envelope(message)) + b"\n"


def read_envelope(line: bytes) -> Ready | Outcome | Failure | RoundTrips:
    """Read what `write_envelope` wrote."""
    return _ENVELOPES.validate_json(line).message


def write_order(message: Load | RoundTrips) -> bytes:
    """Return a message to a peer as a line."""
    return _ORDERS.dump_json(Order(message)) + b"\n"


def read_order(line: bytes) -> Load | RoundTrips:
    """Read what `write_order` wrote."""
    return _ORDERS.validate_json(line).message
