"""The client for asyncio."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Self, Unpack

import grpc.aio

from paceline.client.answer_record import Ask
from paceline.client.async_answer import AsyncAnswer, AsyncAnswerStream
from paceline.client.connection import ConnectionSettings, handshake_failure
from paceline.client.conversation import Messages, RawInput, chat_of, raw_prompt_of
from paceline.client.destination import Destination
from paceline.client.errors import CallFailedError, ClientClosedError
from paceline.client.generation import (
    Continuation,
    ContinuationMode,
    GenerationEvent,
    GenerationRequest,
    Prompt,
)
from paceline.client.options import Options, request_of
from paceline.client.resuming import ResumingOrchestrator, connect_to_all
from paceline.client.retry import RetrySettings
from paceline.client.retry_budget import RetryBudget
from paceline.client.served_model import ServedModels
from paceline.errors import PacelineError


class AsyncClient:
    """Generates text at one or several orchestrators, for asyncio; see docs/client.md.

    Its connections are opened by the first call and belong to the event loop of that call; `close`, or the end of an
    `async with`, closes them and ends what still runs.

    Args:
        addresses: HOST:PORT of orchestrators, several with commas between them or as a sequence. A call that fails at
            one goes on at the next. A Destination has the connection's settings too; the next six are not read then.
        api_key: Who calls, for orchestrators with a tenants file.
        ca_file: PEM certificates of the authorities that servers' certificates may be of; makes the connection TLS.
        certificate_file: Our own certificate, PEM, for orchestrators that want one (mTLS).
        key_file: Its key, PEM.
        server_name: What the server's certificate must be for, where that is not the host of the address.
        insecure: Let the API key go over a network in plain text.
        timeout_seconds: Seconds for each call as a whole, retries included, where the call has no own
            `timeout_seconds`; without an end if None.
        retry: When to try again and when to give up.
        retry_budget: How many calls may be repeated when many fail; a bucket of 100 tokens of its own if None.

    Raises:
        ConfigError: There is no address, an option is useless without another one, a certificate cannot be used, or the
            key would go over a network in plain text.
    """

    def __init__(
        self,
        addresses: str | Sequence[str] | Destination,
        *,
        api_key: str | None = None,
        ca_file: Path | str | None = None,
        certificate_file: Path | str | None = None,
        key_file: Path | str | None = None,
        server_name: str | None = None,
        insecure: bool = False,
        timeout_seconds: float | None = None,
        retry: RetrySettings | None = None,
        retry_budget: RetryBudget | None = None,
    ) -> None:
        if not isinstance(addresses, Destination):
            connection = ConnectionSettings.of(
                api_key, ca_file, certificate_file, key_file, server_name, is_insecure=insecure
            )
            addresses = Destination.of(addresses, connection)
        self._destination = addresses
        self._timeout_seconds = timeout_seconds
        self._retry = retry
        self._retry_budget = retry_budget or RetryBudget()
        self._connections = AsyncExitStack()
        self._orchestrators: ResumingOrchestrator | None = None
        self._is_closed = False

    @classmethod
    def from_environment(
        cls,
        *,
        timeout_seconds: float | None = None,
        retry: RetrySettings | None = None,
        retry_budget: RetryBudget | None = None,
    ) -> Self:
        """Return a client of what the environment names; see `Destination.of_environment`. Raises ConfigError."""
        return cls(
            Destination.of_environment(),
            timeout_seconds=timeout_seconds,
            retry=retry,
            retry_budget=retry_budget,
        )

    async def __aenter__(self) -> Self:
        await self._connected()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; calls that still run fail with ClientClosedError. May be called twice."""
        self._is_closed = True
        await self._connections.aclose()
        self._orchestrators = None

    async def chat(self, messages: Messages, **options: Unpack[Options]) -> AsyncAnswer:
        """Return the answer to a conversation: a text, which is one message of the user, or messages, oldest first.

        Raises:
            RequestRefusedError: The request cannot be served as it is.
            NotAllowedError: The key or the certificate is missing, or not good for it.
            OverloadedError: A quota is used up, or there was no room for too long.
            UnavailableError: Nobody got further with it for `RetrySettings.give_up_seconds`.
            DeadlineExceededError: It took longer than `timeout_seconds`.
            SessionTakenError: Somebody else goes on with the session.
            SessionLostError: The session is not there any more.
            HandshakeFailedError: There is no connection because of TLS.
            InvalidRequestError: The arguments contradict each other.
            ClientClosedError: The client was closed.
            TypeError: There is no such option.

        All but the last are PacelineError. `rollback_token` of those that the orchestrator gave names where the answer
        broke off.
        """
        return await self.stream(messages, **options).finish()

    def stream(self, messages: Messages, **options: Unpack[Options]) -> AsyncAnswerStream:
        """Do the same, streamed."""
        return self._begin(chat_of(messages), options)

    async def complete(self, prompt: RawInput, **options: Unpack[Options]) -> AsyncAnswer:
        """Return what comes after a text, as it stands, or after token ids; raises as `chat`."""
        return await self.stream_completion(prompt, **options).finish()

    def stream_completion(self, prompt: RawInput, **options: Unpack[Options]) -> AsyncAnswerStream:
        """Do the same, streamed."""
        return self._begin(raw_prompt_of(prompt), options)

    def resume(self, rollback_token: str, *, timeout_seconds: float | None = None) -> AsyncAnswerStream:
        """Stream what follows a point of a session, exactly as the broken stream would have; raises as `chat`."""
        options = Options() if timeout_seconds is None else Options(timeout_seconds=timeout_seconds)
        return self._go_on(rollback_token, ContinuationMode.RESUME, None, options)

    def rewind(
        self, rollback_token: str, messages: Messages | None = None, **options: Unpack[Options]
    ) -> AsyncAnswerStream:
        """Stream new tokens from a point of a session on, dropping what came after it; raises as `chat`.

        With messages, which are the whole conversation, only what the session does not hold is computed.
        """
        return self._go_on(rollback_token, ContinuationMode.REWIND, messages, options)

    def fork(
        self, rollback_token: str, messages: Messages | None = None, **options: Unpack[Options]
    ) -> AsyncAnswerStream:
        """Do as `rewind` does, in a new session."""
        return self._go_on(rollback_token, ContinuationMode.FORK, messages, options)

    async def models(self, *, timeout_seconds: float | None = None) -> ServedModels:
        """Return which models are served; raises as `chat`."""
        orchestrators = await self._connected()
        async with self._failures_explained():
            return await orchestrators.served_models(self._timeout(timeout_seconds))

    async def generate(
        self, request: GenerationRequest, *, timeout_seconds: float | None = None
    ) -> AsyncGenerator[GenerationEvent]:
        """Yield the events of any request, several choices included; raises as `chat`, and StreamGapError.

        Closing the generator ends the generation.
        """
        orchestrators = await self._connected()
        running = orchestrators.generate(request, self._timeout(timeout_seconds))
        async with self._failures_explained(), aclosing(running) as events:
            async for event in events:
                yield event

    def _begin(self, prompt: Prompt, options: Options) -> AsyncAnswerStream:
        request = request_of(prompt, options)
        return AsyncAnswerStream(self, Ask(request, prompt, options, limit=request.max_tokens))

    def _go_on(
        self, rollback_token: str, mode: ContinuationMode, messages: Messages | None, options: Options
    ) -> AsyncAnswerStream:
        prompt = None if messages is None else chat_of(messages)
        request = request_of(prompt, options, Continuation(rollback_token, mode))
        ask = Ask(request, prompt, options, is_complete=False, limit=request.max_tokens)
        return AsyncAnswerStream(self, ask)

    async def _connected(self) -> ResumingOrchestrator:
        if self._is_closed:
            raise ClientClosedError
        if self._orchestrators is None:  # nothing below waits, so that no other task comes between
            self._orchestrators = await self._connections.enter_async_context(
                connect_to_all(
                    self._destination.addresses,
                    self._retry,
                    self._destination.connection,
                    self._retry_budget,
                )
            )
        return self._orchestrators

    def _timeout(self, seconds: float | None) -> float | None:
        return self._timeout_seconds if seconds is None else seconds

    @asynccontextmanager
    async def _failures_explained(self) -> AsyncIterator[None]:
        try:
            yield
        except CallFailedError as error:
            if (cause := await self._cause(error)) is not None:
                raise cause from error
            raise
        except grpc.aio.UsageError as error:
            if self._is_closed:  # the call would have begun its next attempt
                raise ClientClosedError from error
            raise
        except asyncio.CancelledError as error:
            if self._is_closed and not _is_cancelled():  # closing the channel has cancelled the call
                raise ClientClosedError from error
            raise

    async def _cause(self, error: CallFailedError) -> PacelineError | None:
        """Return what a failure comes of, where that is TLS, or that the client was closed."""
        if self._is_closed:
            return ClientClosedError()
        return await handshake_failure(error, self._destination.connection)


def _is_cancelled() -> bool:
    """Whether somebody wants the task that runs to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
