"""What is known of an answer, finished or not, and the requests with which it can go on."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from paceline.client.conversation import Messages, read_messages
from paceline.client.errors import NotStartedError
from paceline.client.generation import (
    Chat,
    Continuation,
    ContinuationMode,
    FinishReason,
    GeneratedToken,
    GenerationEvent,
    GenerationRequest,
    GenerationStarted,
    GenerationSummary,
    Prompt,
    PromptIds,
    RawPrompt,
    TokenChunk,
)
from paceline.client.options import Options, merged, request_of, without_limit
from paceline.errors import InvalidRequestError
from paceline.models.chat_message import ChatMessage


class Point(NamedTuple):
    """A committed point of a session: where an answer had so many tokens."""

    num_tokens: int
    rollback_token: str


class Kept(NamedTuple):
    """The beginning of an answer that another one goes on from."""

    tokens: tuple[GeneratedToken, ...] = ()
    text: str = ""
    points: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Ask:
    """A generation to be run, and what its answer will be an answer to.

    Attributes:
        request: What is sent.
        prompt: The whole of what is answered; None where only the session knows it.
        options: What was asked for.
        is_complete: Whether `options` is all that the session has been told.
        kept: Where the answer begins.
        limit: Most tokens of the whole answer, those kept included; None where nobody has said.
    """

    request: GenerationRequest
    prompt: Prompt | None
    options: Options
    is_complete: bool = True
    kept: Kept = field(default_factory=Kept)
    limit: int | None = None

    @property
    def timeout_seconds(self) -> float | None:
        """Seconds for the whole call."""
        return self.options.get("timeout_seconds")


@dataclass(frozen=True)
class AnswerRecord:
    """An answer as far as it has come.

    Attributes:
        ask: What it answers.
        started: How its latest generation began.
        tokens: Its tokens, those that were kept from another answer first.
        text: Their text.
        points: Where the session can be gone on with, the earliest first.
        summary: How it ended; None where it was stopped or broke off.
    """

    ask: Ask
    started: GenerationStarted
    tokens: tuple[GeneratedToken, ...]
    text: str
    points: tuple[Point, ...]
    summary: GenerationSummary | None

    @property
    def messages(self) -> tuple[ChatMessage, ...]:
        """The conversation with this answer as its last message; raises InvalidRequestError where it is none."""
        return (*self._chat.messages, ChatMessage("assistant", self.text))

    @property
    def rollback_token(self) -> str:
        """Names the session's last point; raises InvalidRequestError where there is none."""
        return self._last_point().rollback_token

    def reply(
        self, message: Messages, given: Options, *, in_new_session: bool, history: Messages | None
    ) -> Ask:
        """Return the next turn, behind the conversation so far or another history."""
        before = self.messages if history is None else tuple(read_messages(history))
        prompt = replace(self._chat, messages=(*before, *read_messages(message)))
        mode = ContinuationMode.FORK if in_new_session else ContinuationMode.REWIND
        return self._ask(prompt, prompt, given, Continuation(self.rollback_token, mode), Kept(), Options())

    def go_on(self, text: str, given: Options, *, in_new_session: bool = False) -> Ask:
        """Return more of the same answer or, with a text, what comes behind answer and text."""
        mode = ContinuationMode.FORK if in_new_session else ContinuationMode.REWIND
        continuation = Continuation(self.rollback_token, mode)
        if not text:
            kept = Kept(self.tokens, self.text, () if in_new_session else self.points)
            # How much more is no limit of the answers behind this one.
            sent = self._limit_of_more(given.get("max_tokens"))
            return self._ask(None, self.ask.prompt, without_limit(given), continuation, kept, sent)
        if isinstance(self.ask.prompt, Chat):
            raise InvalidRequestError(
                "a text goes on behind a completion; reply in a conversation", field="text"
            )
        before = self.ask.prompt
        whole = RawPrompt(before.text + self.text + text) if isinstance(before, RawPrompt) else None
        return self._ask(RawPrompt(text), whole, given, continuation, Kept(), Options())

    def again(self, to: int | str, given: Options, *, mode: ContinuationMode) -> Ask:
        """Return new tokens from a point on: a number of tokens of this answer that stay, or a rollback token."""
        point, num_kept = self._point(to)
        tokens = self.tokens[:num_kept]
        text = "".join(token.text for token in tokens)
        points = () if mode is ContinuationMode.FORK else self._points_up_to(point)
        # Tokens behind the point are sent as ids: there is no token that names their end.
        missing = tuple(token.id for token in tokens[point.num_tokens :])
        prompt = PromptIds(missing) if missing else None
        limit = given.get("max_tokens", self.ask.limit)
        sent = Options() if limit is None else Options(max_tokens=max(limit - num_kept, 1))
        continuation = Continuation(point.rollback_token, mode)
        return self._ask(prompt, self.ask.prompt, given, continuation, Kept(tokens, text, points), sent)

    def _ask(
        self,
        prompt: Prompt | None,
        whole: Prompt | None,
        given: Options,
        continuation: Continuation,
        kept: Kept,
        sent: Options,
    ) -> Ask:
        """Return the ask of options that take the place of those before; of `sent` none is kept for the next one."""
        options = merged(self.ask.options, given)
        wanted = merged(options, sent)
        if self.ask.is_complete:
            wanted = merged(Options(seed=self.started.seed), wanted)
        request = request_of(prompt, wanted, continuation, is_whole=self.ask.is_complete)
        limit = None if request.max_tokens is None else len(kept.tokens) + request.max_tokens
        return Ask(request, whole, options, self.ask.is_complete, kept, limit)

    def _limit_of_more(self, num_more: int | None) -> Options:
        """Return the limit of what is to come: what is left of the answer's own, or once more as many tokens."""
        if num_more is not None:
            return Options(max_tokens=num_more)
        limit, num_tokens = self.ask.limit, len(self.tokens)
        if self._is_at_limit:  # else the session would stay there
            return Options(max_tokens=self.ask.options.get("max_tokens", num_tokens))
        return Options() if limit is None else Options(max_tokens=limit - num_tokens)

    @property
    def _is_at_limit(self) -> bool:
        if self.summary is not None and self.summary.finish_reason is FinishReason.LENGTH:
            return True
        return self.ask.limit is not None and len(self.tokens) >= self.ask.limit

    @property
    def _chat(self) -> Chat:
        if not isinstance(self.ask.prompt, Chat):
            raise InvalidRequestError(
                "this answer is to no conversation: go on with continue_, or begin one with chat",
                field="chat",
            )
        return self.ask.prompt

    def _point(self, to: int | str) -> tuple[Point, int]:
        """Return the last point at or before a place, and the place as a number of tokens."""
        if isinstance(to, str):
            for point in self.points:
                if point.rollback_token == to:
                    return point, point.num_tokens
            raise InvalidRequestError("the rollback token is none of this answer's points", field="to")
        if not 0 <= to <= len(self.tokens):
            raise InvalidRequestError(
                f"to is {to} and must be from 0 to {len(self.tokens)}, the tokens of the answer", field="to"
            )
        before = [point for point in self.points if point.num_tokens <= to]
        if not before:
            first = self.points[0].num_tokens if self.points else len(self.tokens)
            raise InvalidRequestError(
                f"to is {to}, and this session has the answer's tokens from {first} on: go back in the one before it",
                field="to",
            )
        return before[-1], to

    def _points_up_to(self, last: Point) -> tuple[Point, ...]:
        return tuple(point for point in self.points if point.num_tokens <= last.num_tokens)

    def _last_point(self) -> Point:
        if not self.points:
            raise InvalidRequestError("the session has told no point to go on from", field="rollback_token")
        return self.points[-1]


class AnswerBuilder:
    """Collects the events of one generation."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._tokens = list(ask.kept.tokens)
        self._texts = [ask.kept.text]
        self._points = list(ask.kept.points)
        self._started: GenerationStarted | None = None
        self._summary: GenerationSummary | None = None

    def add(self, event: GenerationEvent) -> None:
        """Take the next event."""
        match event:
            case GenerationStarted():
                self._started = event
            case TokenChunk():
                self._tokens += event.tokens
                self._texts.append(event.text)
            case GenerationSummary():
                self._summary = event
        self._note_point(event.rollback_token)

    def record(self) -> AnswerRecord:
        """Return the answer so far; raises NotStartedError before the first event."""
        if self._started is None:
            raise NotStartedError
        text = "".join(self._texts)
        return AnswerRecord(
            self._ask, self._started, tuple(self._tokens), text, tuple(self._points), self._summary
        )

    def _note_point(self, rollback_token: str) -> None:
        num_tokens = len(self._tokens)
        if not rollback_token:
            return
        # The latest token of a place is the one that names the session's present epoch.
        if self._points and self._points[-1].num_tokens == num_tokens:
            self._points.pop()
        self._points.append(Point(num_tokens, rollback_token))
