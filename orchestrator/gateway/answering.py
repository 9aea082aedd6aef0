"""Generations to an HTTP answer: a stream of server-sent events, or one JSON object."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from orchestrator.gateway.choice_answer import ChoiceAnswer
from orchestrator.gateway.event_line import EventLine, PromptEvent
from orchestrator.gateway.http_errors import answer_of
from orchestrator.gateway.presence import while_present
from paceline.v1 import orchestrator_service_pb2 as messages

_DONE = b"data: [DONE]\n\n"
_KEEP_ALIVE = b": keep-alive\n\n"
_STREAM_HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",  # nginx would keep events back
}


class _Answering:
    """An ASGI application that answers one request; the client's end ends the generations."""

    def __init__(
        self,
        answer: ChoiceAnswer,
        generations: Sequence[AsyncGenerator[messages.GenerateResponse]],
        headers: Mapping[str, str],
    ) -> None:
        self._answer = answer
        self._line = EventLine(generations)
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await while_present(receive, self._run(send))

    async def _run(self, send: Send) -> None:
        raise NotImplementedError


class WholeAnswer(_Answering):
    """One JSON object when all has been generated."""

    async def _run(self, send: Send) -> None:
        async with self._line.running():
            while (event := await self._line.next()) is not None:
                self._answer.take(event)
        body = to_json(self._answer.whole(), inf_nan_mode="null")
        headers = {"content-type": "application/json", "content-length": str(len(body)), **self._headers}
        await _start(send, headers)
        await _send(send, body, is_last=True)


class StreamedAnswer(_Answering):
    """An event a chunk. An error before the first one is an answer with its status, a later one an event.

    Where nothing comes for `keep_alive_seconds`, a comment is sent, so that nothing on the way takes the connection for
    dead; the stream has begun then.
    """

    def __init__(
        self,
        answer: ChoiceAnswer,
        generations: Sequence[AsyncGenerator[messages.GenerateResponse]],
        headers: Mapping[str, str],
        keep_alive_seconds: float,
    ) -> None:
        super().__init__(answer, generations, headers)
        self._keep_alive_seconds = keep_alive_seconds

    async def _run(self, send: Send) -> None:
        async with self._line.running():
            first = await self._next()
            await _start(send, {**_STREAM_HEADERS, **self._headers})
            try:
                await self._send_all(first, send)
                last = b"".join(map(_event, self._answer.last_chunks())) + _DONE
            except Exception as error:
                last = _event(answer_of(error).body)
        # Nothing of the generations is left when the client learns of the end.
        await _send(send, last, is_last=True)

    async def _send_all(self, event: PromptEvent | bytes | None, send: Send) -> None:
        while event is not None:
            if isinstance(event, bytes):
                await _send(send, event)
            else:
                await _send(send, b"".join(map(_event, self._answer.chunks(event))))
            event = await self._next()

    async def _next(self) -> PromptEvent | bytes | None:
        try:
            return await self._line.next(self._keep_alive_seconds)
        except TimeoutError:
            return _KEEP_ALIVE


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + to_json(content, inf_nan_mode="null") + b"\n\n"


async def _start(send: Send, headers: Mapping[str, str]) -> None:
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": encoded})


async def _send(send: Send, body: bytes, *, is_last: bool = False) -> None:
    if body or is_last:
        await send({"type": "http.response.body", "body": body, "more_body": not is_last})
