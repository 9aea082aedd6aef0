"""Answers for programs without asyncio: whole ones, and such as are still coming."""

import contextlib
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Self, Unpack

from paceline.client.answer import AnswerFacts
from paceline.client.answer_record import AnswerBuilder, AnswerRecord, Ask
from paceline.client.conversation import Messages
from paceline.client.generation import ContinuationMode, GenerationEvent, TokenChunk
from paceline.client.options import Options

if TYPE_CHECKING:
    from paceline.client.sync_client import Client


class Answer(AnswerFacts):
    """An answer, and the ways to go on from it; each raises what `Client.chat` does.

    `stream_reply` is to `reply` what `Client.stream` is to `chat`, and so with the others.
    """

    def __init__(self, record: AnswerRecord, client: "Client") -> None:
        super().__init__(record)
        self._client = client

    def reply(
        self,
        message: Messages,
        *,
        in_new_session: bool = False,
        history: Messages | None = None,
        **options: Unpack[Options],
    ) -> "Answer":
        """Return the answer to the next message: a turn costs its own tokens only.

        In the same session, which goes on from here then, or in a new one, so that this answer can be replied to again.
        The message stands behind `messages`, or behind another history, of which as much costs nothing as is the same.
        """
        return self.stream_reply(message, in_new_session=in_new_session, history=history, **options).finish()

    def stream_reply(
        self,
        message: Messages,
        *,
        in_new_session: bool = False,
        history: Messages | None = None,
        **options: Unpack[Options],
    ) -> "AnswerStream":
        """Do the same, streamed."""
        ask = self._record.reply(message, options, in_new_session=in_new_session, history=history)
        return AnswerStream(self._client, ask)

    def continue_(
        self, text: str = "", *, in_new_session: bool = False, **options: Unpack[Options]
    ) -> "Answer":
        """Return more of the same answer, for example of one that `max_tokens` ended or that was stopped.

        What was stopped gets what is left of its `max_tokens`, what has reached them as many again; given anew they
        count what comes, and later answers do not keep them. With a text, which only a completion takes, return what
        comes behind answer and text.
        """
        return self.stream_continue(text, in_new_session=in_new_session, **options).finish()

    def stream_continue(
        self, text: str = "", *, in_new_session: bool = False, **options: Unpack[Options]
    ) -> "AnswerStream":
        """Do the same, streamed."""
        ask = self._record.go_on(text, options, in_new_session=in_new_session)
        return AnswerStream(self._client, ask)

    def rewind(self, to: int | str = 0, **options: Unpack[Options]) -> "Answer":
        """Return another answer that keeps the first `to` tokens of this one, or what is before a rollback token.

        What came after that is dropped from the session. The same options give the same tokens again: give another
        `seed`, `temperature` or whatever shall be different. `max_tokens` counts the tokens that are kept too.
        """
        return self.stream_rewind(to, **options).finish()

    def stream_rewind(self, to: int | str = 0, **options: Unpack[Options]) -> "AnswerStream":
        """Do the same, streamed."""
        return AnswerStream(self._client, self._record.again(to, options, mode=ContinuationMode.REWIND))

    def fork(self, to: int | str = 0, **options: Unpack[Options]) -> "Answer":
        """Return another answer as `rewind` does, in a new session: this one's stays as it is."""
        return self.stream_fork(to, **options).finish()

    def stream_fork(self, to: int | str = 0, **options: Unpack[Options]) -> "AnswerStream":
        """Do the same, streamed."""
        return AnswerStream(self._client, self._record.again(to, options, mode=ContinuationMode.FORK))


class AnswerStream:
    """An answer that is still coming: `for chunk in stream` yields its chunks as they come.

    It begins with the iteration and can be iterated over once, by one thread. Leaving the loop, by Ctrl-C too, or the
    `with` around it, ends the generation; `answer` is what came until then, and can be gone on with. A stream that
    breaks is resumed at the next orchestrator, so that no token is missing and none comes twice.

    Attributes:
        ask: What was asked for.
    """

    def __init__(self, client: "Client", ask: Ask) -> None:
        self._client = client
        self.ask = ask
        self._builder = AnswerBuilder(ask)
        self._events: Generator[GenerationEvent] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[TokenChunk]:
        for event in self.events():
            if isinstance(event, TokenChunk):
                yield event

    @property
    def answer(self) -> Answer:
        """The answer so far; raises NotStartedError before its first event."""
        return Answer(self._builder.record(), self._client)

    def events(self) -> Generator[GenerationEvent]:
        """Yield all events instead of the chunks only: the start, the chunks, the summary."""
        if self._events is not None:
            return
        self._events = self._client.generate(self.ask.request, timeout_seconds=self.ask.timeout_seconds)
        with contextlib.closing(self._events) as events:
            for event in events:
                self._builder.add(event)
                yield event

    def finish(self) -> Answer:
        """Wait for the rest and return the whole answer; raises as `Client.chat`."""
        for _ in self.events():
            pass
        return self.answer

    def close(self) -> None:
        """End the generation where it is."""
        if self._events is not None:
            self._events.close()
