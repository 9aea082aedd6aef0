"""Answers for asyncio: whole ones, and such as are still coming."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Self, Unpack

from paceline.client.answer import AnswerFacts
from paceline.client.answer_record import AnswerBuilder, AnswerRecord, Ask
from paceline.client.conversation import Messages
from paceline.client.generation import ContinuationMode, GenerationEvent, TokenChunk
from paceline.client.options import Options

if TYPE_CHECKING:
    from paceline.client.async_client import AsyncClient


class AsyncAnswer(AnswerFacts):
    """An answer, and the ways to go on from it; each raises what `AsyncClient.chat` does.

    `stream_reply` is to `reply` what `AsyncClient.stream` is to `chat`, and so with the others.
    """

    def __init__(self, record: AnswerRecord, client: "AsyncClient") -> None:
        super().__init__(record)
        self._client = client

    async def reply(
        self,
        message: Messages,
        *,
        in_new_session: bool = False,
        history: Messages | None = None,
        **options: Unpack[Options],
    ) -> "AsyncAnswer":
        """Return the answer to the next message: a turn costs its own tokens only.

        In the same session, which goes on from here then, or in a new one, so that this answer can be replied to again.
        The message stands behind `messages`, or behind another history, of which as much costs nothing as is the same.
        """
        return await self.stream_reply(
            message, in_new_session=in_new_session, history=history, **options
        ).finish()

    def stream_reply(
        self,
        message: Messages,
        *,
        in_new_session: bool = False,
        history: Messages | None = None,
        **options: Unpack[Options],
    ) -> "AsyncAnswerStream":
        """Do the same, streamed."""
        ask = self._record.reply(message, options, in_new_session=in_new_session, history=history)
        return AsyncAnswerStream(self._client, ask)

    async def continue_(
        self, text: str = "", *, in_new_session: bool = False, **options: Unpack[Options]
    ) -> "AsyncAnswer":
        """Return more of the same answer, for example of one that `max_tokens` ended or that was stopped.

        What was stopped gets what is left of its `max_tokens`, what has reached them as many again; given anew they
        count what comes, and later answers do not keep them. With a text, which only a completion takes, return what
        comes behind answer and text.
        """
        return await self.stream_continue(text, in_new_session=in_new_session, **options).finish()

    def stream_continue(
        self, text: str = "", *, in_new_session: bool = False, **options: Unpack[Options]
    ) -> "AsyncAnswerStream":
        """Do the same, streamed."""
        ask = self._record.go_on(text, options, in_new_session=in_new_session)
        return AsyncAnswerStream(self._client, ask)

    async def rewind(self, to: int | str = 0, **options: Unpack[Options]) -> "AsyncAnswer":
        """Return another answer that keeps the first `to` tokens of this one, or what is before a rollback token.

        What came after that is dropped from the session. The same options give the same tokens again: give another
        `seed`, `temperature` or whatever shall be different. `max_tokens` counts the tokens that are kept too.
        """
        return await self.stream_rewind(to, **options).finish()

    def stream_rewind(self, to: int | str = 0, **options: Unpack[Options]) -> "AsyncAnswerStream":
        """Do the same, streamed."""
        ask = self._record.again(to, options, mode=ContinuationMode.REWIND)
        return AsyncAnswerStream(self._client, ask)

    async def fork(self, to: int | str = 0, **options: Unpack[Options]) -> "AsyncAnswer":
        """Return another answer as `rewind` does, in a new session: this one's stays as it is."""
        return await self.stream_fork(to, **options).finish()

    def stream_fork(self, to: int | str = 0, **options: Unpack[Options]) -> "AsyncAnswerStream":
        """Do the same, streamed."""
        ask = self._record.again(to, options, mode=ContinuationMode.FORK)
        return AsyncAnswerStream(self._client, ask)


class AsyncAnswerStream:
    """An answer that is still coming: `async for chunk in stream` yields its chunks as they come.

    It begins with the iteration and can be iterated over once. Leaving the loop, or the `async with` around it, ends
    the generation; `answer` is what came until then, and can be gone on with. A stream that breaks is resumed at the
    next orchestrator, so that no token is missing and none comes twice.

    Attributes:
        ask: What was asked for.
    """

    def __init__(self, client: "AsyncClient", ask: Ask) -> None:
        self._client = client
        self.ask = ask
        self._builder = AnswerBuilder(ask)
        self._events: AsyncGenerator[GenerationEvent] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[TokenChunk]:
        return self._chunks()

    @property
    def answer(self) -> AsyncAnswer:
        """The answer so far; raises NotStartedError before its first event."""
        return AsyncAnswer(self._builder.record(), self._client)

    async def events(self) -> AsyncGenerator[GenerationEvent]:
        """Yield all events instead of the chunks only: the start, the chunks, the summary."""
        if self._events is not None:
            return
        self._events = self._client.generate(self.ask.request, timeout_seconds=self.ask.timeout_seconds)
        async with aclosing(self._events) as events:
            async for event in events:
                self._builder.add(event)
                yield event

    async def finish(self) -> AsyncAnswer:
        """Wait for the rest and return the whole answer; raises as `AsyncClient.chat`."""
        async with aclosing(self.events()) as events:
            async for _ in events:
                pass
        return self.answer

    async def close(self) -> None:
        """End the generation where it is."""
        if self._events is not None:
            await self._events.aclose()

    async def _chunks(self) -> AsyncGenerator[TokenChunk]:
        async with aclosing(self.events()) as events:
            async for event in events:
                if isinstance(event, TokenChunk):
                    yield event
