"""Generations that outlive their orchestrator: a broken stream is resumed at the next one, and nobody notices."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace

from paceline.client.completion import Completion, CompletionBuilder
from paceline.client.connection import PLAIN_TEXT, ConnectionSettings
from paceline.client.errors import CallFailedError, StreamGapError, UnavailableError
from paceline.client.generation import (
    Continuation,
    ContinuationMode,
    GenerationEvent,
    GenerationRequest,
    GenerationStarted,
    GenerationSummary,
    TokenChunk,
)
from paceline.client.orchestrator import Orchestrator, connect
from paceline.client.retry import Deadline, Retry, RetrySettings
from paceline.client.retry_budget import RetryBudget
from paceline.client.served_model import ServedModels
from paceline.sampling.parameters import MAX_SEED

__all__ = ["ResumingOrchestrator", "RetrySettings", "connect_to_all"]


class ResumingOrchestrator:
    """Several orchestrators as one; made by `connect_to_all`."""

    def __init__(
        self,
        orchestrators: Sequence[Orchestrator],
        settings: RetrySettings,
        budget: RetryBudget | None = None,
    ) -> None:
        self._orchestrators = orchestrators
        self._settings = settings
        self._budget = budget
        self._current = random.randrange(len(orchestrators))  # noqa: S311, spreads clients

    async def generate(
        self, request: GenerationRequest, timeout_seconds: float | None = None
    ) -> AsyncGenerator[GenerationEvent]:
        """Yield the events of a generation as one stream, whatever breaks: no token is missing and none comes twice.

        Raises CallFailedError where nothing got further for `give_up_seconds`, too many calls fail, or a repeat cannot
        help, DeadlineExceededError where it is not finished within `timeout_seconds`, and StreamGapError. The first two
        name in `rollback_token` where the only choice can be gone on with.
        """
        progress = [_Progress() for _ in range(request.num_choices)]
        try:
            async with aclosing(self._follow(request, progress, Deadline(timeout_seconds))) as events:
                async for event in events:
                    yield event
        except CallFailedError as error:
            if request.num_choices == 1:
                error.rollback_token = progress[0].rollback_token
            raise

    async def _follow(
        self, request: GenerationRequest, progress: "Sequence[_Progress]", deadline: Deadline
    ) -> AsyncGenerator[GenerationEvent]:
        retry = self._retry(deadline)
        while True:
            number = self._next(deadline)
            try:
                async with aclosing(self._attempt(number, _repeat(request, progress), deadline)) as events:
                    async for event in events:
                        retry.succeed()
                        if progress[event.choice].take(event):
                            yield event
            except CallFailedError as error:
                self._leave(number)
                await retry.wait(error)
            else:
                return
            if request.num_choices > 1 and any(one.rollback_token for one in progress):
                break
            if request.num_choices == 1 and progress[0].is_finished:
                return
        async with aclosing(self._finish_choices(request, progress, deadline)) as events:
            async for event in events:
                yield event

    async def served_models(self, timeout_seconds: float | None = None) -> ServedModels:
        """Return which models are served; raises CallFailedError as `generate` does."""
        deadline = Deadline(timeout_seconds)
        retry = self._retry(deadline)
        while True:
            number = self._next(deadline)
            try:
                return await self._orchestrators[number].served_models(deadline.remaining_seconds)
            except CallFailedError as error:
                self._leave(number)
                await retry.wait(error)

    async def complete(self, request: GenerationRequest) -> Completion:
        """Return a generation's first choice; raises as `generate`."""
        return (await self.complete_choices(request))[0]

    async def complete_choices(self, request: GenerationRequest) -> list[Completion]:
        """Return all choices of a generation, in their order; raises as `generate`."""
        builders = [CompletionBuilder() for _ in range(request.num_choices)]
        async with aclosing(self.generate(request)) as events:
            async for event in events:
                builders[event.choice].add(event)
        return [builder.build() for builder in builders]

    def _retry(self, deadline: Deadline) -> Retry:
        return Retry(self._settings, len(self._orchestrators), deadline, self._budget)

    def _next(self, deadline: Deadline) -> int:
        """Return whom to ask; raises DeadlineExceededError where even an answer that comes at once would be late."""
        if deadline.is_over_in(0.0):
            raise deadline.exceeded(self._orchestrators[self._current].address)
        return self._current

    def _leave(self, number: int) -> None:
        """Let the next orchestrator take over from one that has failed, once for all calls that it has failed."""
        if number == self._current:
            self._current = (number + 1) % len(self._orchestrators)

    async def _attempt(
        self, number: int, request: GenerationRequest, deadline: Deadline
    ) -> AsyncGenerator[GenerationEvent]:
        """Yield what one orchestrator answers; raises CallFailedError where it says nothing for too long too."""
        orchestrator, silence_seconds = self._orchestrators[number], self._settings.silence_seconds
        async with aclosing(orchestrator.generate(request, deadline.remaining_seconds)) as events:
            while True:
                try:
                    # Around each event and not around all: a generator may go on in another task.
                    async with asyncio.timeout(silence_seconds):
                        event = await anext(events)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    raise _silent(orchestrator.address, silence_seconds) from error
                yield event

    async def _finish_choices(
        self, request: GenerationRequest, progress: "Sequence[_Progress]", deadline: Deadline
    ) -> AsyncGenerator[GenerationEvent]:
        """Go on with every choice that has not ended, side by side, each as a generation of its own."""
        events: asyncio.Queue[GenerationEvent] = asyncio.Queue()

        async def follow(choice: int) -> None:
            alone = self.generate(_alone(request, progress, choice), deadline.remaining_seconds)
            async with aclosing(alone) as own_events:
                async for event in own_events:
                    if progress[choice].take(replace(event, choice=choice)):
                        await events.put(replace(event, choice=choice))

        # No task group: it would cancel whoever reads, and wrap failures and the end of this generator.
        unfinished = [choice for choice, one in enumerate(progress) if not one.is_finished]
        followers = [asyncio.create_task(follow(choice)) for choice in unfinished]
        running = set(followers)
        try:
            while running or not events.empty():
                getting = asyncio.create_task(events.get())
                try:
                    done, _ = await asyncio.wait({getting, *running}, return_when=asyncio.FIRST_COMPLETED)
                    if getting in done:
                        yield getting.result()
                finally:
                    getting.cancel()
                for ended in running & done:
                    ended.result()
                running -= done
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.gather(*followers, return_exceptions=True)


@asynccontextmanager
async def connect_to_all(
    addresses: Sequence[str],
    settings: RetrySettings | None = None,
    connection: ConnectionSettings = PLAIN_TEXT,
    budget: RetryBudget | None = None,
) -> AsyncIterator[ResumingOrchestrator]:
    """Connect to the orchestrators at HOST:PORT, at least one, inside a `with`.

    Raises ConfigError over the settings of the connection.
    """
    async with AsyncExitStack() as stack:
        orchestrators = [
            await stack.enter_async_context(connect(address, connection)) for address in addresses
        ]
        yield ResumingOrchestrator(orchestrators, settings or RetrySettings(), budget)


class _Progress:
    """How far one choice has come, over all its streams."""

    def __init__(self) -> None:
        self.started: GenerationStarted | None = None
        self.rollback_token = ""
        self.is_finished = False
        self._position: int | None = None

    def take(self, event: GenerationEvent) -> bool:
        """Note an event; False where the caller has seen it."""
        match event:
            case GenerationStarted():
                is_new = self.started is None
                self._start(event)
                return is_new
            case TokenChunk():
                self._take_chunk(event)
            case GenerationSummary():
                self.is_finished = True
        return True

    def _start(self, started: GenerationStarted) -> None:
        if self._position is not None and started.position != self._position:
            raise StreamGapError(self._position, started.position)
        self._position = (
            started.position or None
        )  # 0 says nothing: the prompt is sent back, or is not counted
        self.started = self.started or started
        self.rollback_token = started.rollback_token or self.rollback_token

    def _take_chunk(self, chunk: TokenChunk) -> None:
        if self._position is not None and chunk.position != self._position:
            raise StreamGapError(self._position, chunk.position)
        self._position = chunk.position + len(chunk.tokens)
        self.rollback_token = chunk.rollback_token or self.rollback_token


def _silent(address: str, silence_seconds: float | None) -> UnavailableError:
    message = f"nothing came from {address} for {silence_seconds:g} s"
    return UnavailableError(address, "UNAVAILABLE", "SILENT", message, {})


def _repeat(request: GenerationRequest, progress: Sequence[_Progress]) -> GenerationRequest:
    """Return what to ask next: the request itself until the only choice has a token, then to resume."""
    first = progress[0]
    if request.num_choices == 1 and first.rollback_token:
        return _resume(first.rollback_token)
    return _with_seed(request, first.started)


def _alone(request: GenerationRequest, progress: Sequence[_Progress], choice: int) -> GenerationRequest:
    """Return the request that goes on with one choice of several: its seed is that of the first plus its number."""
    if token := progress[choice].rollback_token:
        return _resume(token)
    first = next((one.started for one in progress if one.started is not None), None)
    assert first is not None, "a choice has a token only if it has started"
    seed = (first.seed - first.choice + choice) & MAX_SEED
    return replace(request, num_choices=1, sampling=replace(request.sampling, seed=seed))


def _resume(rollback_token: str) -> GenerationRequest:
    return GenerationRequest(None, continuation=Continuation(rollback_token, ContinuationMode.RESUME))


def _with_seed(request: GenerationRequest, started: GenerationStarted | None) -> GenerationRequest:
    """Keep the seed that was drawn, because the caller has been told it."""
    if started is None or request.continuation is not None:
        return request
    seed = (started.seed - started.choice) & MAX_SEED
    return replace(request, sampling=replace(request.sampling, seed=seed))
