"""A finished generation, with when its tokens arrived."""

from dataclasses import dataclass
from time import monotonic

from paceline.client.generation import (
    GeneratedToken,
    GenerationEvent,
    GenerationStarted,
    GenerationSummary,
    TokenChunk,
    TokenOrigin,
)


@dataclass(frozen=True)
class Arrival:
    """`num_tokens` arrived together, `seconds` after the request was sent.

    Attributes:
        round: Number of the last of the rounds that brought them.
        num_draft_tokens: Draft tokens of these rounds that the target judged.
        num_accepted: Tokens among these that were draft tokens.
    """

    seconds: float
    num_tokens: int
    round: int = 0
    num_draft_tokens: int = 0
    num_accepted: int = 0


@dataclass(frozen=True)
class Completion:
    """A finished generation."""

    started: GenerationStarted
    tokens: tuple[GeneratedToken, ...]
    text: str
    summary: GenerationSummary
    arrivals: tuple[Arrival, ...]

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The generated ids, an end-of-generation id included, an echoed prompt excluded."""
        return tuple(token.id for token in self.tokens if token.origin is not TokenOrigin.PROMPT)

    @property
    def time_to_first_token_seconds(self) -> float:
        """Seconds from the request until the first tokens were here."""
        return self.arrivals[0].seconds

    @property
    def seconds(self) -> float:
        """Seconds from the request until the last token was here."""
        return self.arrivals[-1].seconds

    @property
    def tokens_per_second(self) -> float:
        """Tokens a second from the request to the last token, the prompt's time included."""
        return len(self.tokens) / self.seconds

    @property
    def decode_tokens_per_second(self) -> float | None:
        """Tokens a second after the first ones; None where all came at once."""
        if len(self.arrivals) < 2:
            return None
        num_tokens = len(self.tokens) - self.arrivals[0].num_tokens
        return num_tokens / (self.seconds - self.time_to_first_token_seconds)

    @property
    def token_seconds(self) -> tuple[float, ...]:
        """Seconds of each token after the first arrival; tokens that came together share their time."""
        return tuple(
            (arrival.seconds - before.seconds) / arrival.num_tokens
            for before, arrival in zip(self.arrivals, self.arrivals[1:], strict=False)
            for _ in range(arrival.num_tokens)
        )


class CompletionBuilder:
    """Collects the events of one generation; its clock starts when it is made."""

    def __init__(self) -> None:
        self._sent_at = monotonic()
        self._started: GenerationStarted | None = None
        self._summary: GenerationSummary | None = None
        self._chunks: list[TokenChunk] = []
        self._arrivals: list[Arrival] = []

    def add(self, event: GenerationEvent) -> None:
        """Take the next event."""
        match event:
            case GenerationStarted():
                self._started = event
            case TokenChunk():
                self._chunks.append(event)
                self._arrivals.append(_arrival(event, monotonic() - self._sent_at))
            case GenerationSummary():
                self._summary = event

    def build(self) -> Completion:
        """Return the finished generation."""
        # A stream that ends with status OK has both.
        assert self._started is not None
        assert self._summary is not None
        return Completion(
            self._started,
            tuple(token for chunk in self._chunks for token in chunk.tokens),
            "".join(chunk.text for chunk in self._chunks),
            self._summary,
            tuple(self._arrivals),
        )


def _arrival(chunk: TokenChunk, seconds: float) -> Arrival:
    return Arrival(seconds, len(chunk.tokens), chunk.round, chunk.num_draft_tokens, chunk.num_accepted)
