"""Generations that outlive their orchestrator: a broken stream is resumed at the next one, and nobody notices."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from paceline.client.completion import Completion, CompletionBuilder
from paceline.client.connection import PLAIN_TEXT, ConnectionSettings
from paceline.client.errors import CallFailedError, StreamGapError
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
from paceline.sampling.parameters import MAX_SEED

# What another attempt, here or elsewhere, may get further with. INTERNAL and UNKNOWN are gRPC's own words for a
# connection that broke at a bad moment; with a reason of ours they are defects, which a repeat may get around.
_RETRYABLE_CODES = frozenset(
    {"UNAVAILABLE", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
)
_FINAL_REASONS = frozenset({"MESSAGE_TOO_LARGE"})


@dataclass(frozen=True)
class RetrySettings:
    """When to try again, and when to give up.

    Attributes:
        first_pause_seconds: Pause after the first failure in a row; it doubles, with jitter.
        last_pause_seconds: The longest pause.
        give_up_seconds: Seconds without any progress after which the failure is the caller's.
        give_up_at_first_seconds: The same before the first progress; each orchestrator is tried once in any case.
    """

    first_pause_seconds: float = 0.05
    last_pause_seconds: float = 1.0
    give_up_seconds: float = 60.0
    give_up_at_first_seconds: float = 60.0


class ResumingOrchestrator:
    """Several orchestrators as one; made by `connect_to_all`."""

    def __init__(self, orchestrators: Sequence[Orchestrator], settings: RetrySettings) -> None:
        self._orchestrators = orchestrators
        self._settings = settings
        self._next = random.randrange(len(orchestrators))  # noqa: S311, spreads clients

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent]:
        """Yield the events of a generation as one stream, whatever breaks: no token is missing and none comes twice.

        Raises CallFailedError where nothing got further for `give_up_seconds` or a repeat cannot help, and
        StreamGapError.
        """
        progress = [_Progress() for _ in range(request.num_choices)]
        retry = _Retry(self._settings, len(self._orchestrators))
        while True:
            try:
                async with aclosing(self._one().generate(_repeat(request, progress))) as events:
                    async for event in events:
                        retry.succeed()
                        if progress[event.choice].take(event):
                            yield event
            except CallFailedError as error:
                self._next += 1
                await retry.wait(error)
            else:
                return
            if request.num_choices > 1 and any(one.rollback_token for one in progress):
                break
            if request.num_choices == 1 and progress[0].is_finished:
                return
        async with aclosing(self._finish_choices(request, progress)) as events:
            async for event in events:
                yield event

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

    def _one(self) -> Orchestrator:
        return self._orchestrators[self._next % len(self._orchestrators)]

    async def _finish_choices(
        self, request: GenerationRequest, progress: "Sequence[_Progress]"
    ) -> AsyncGenerator[GenerationEvent]:
        """Go on with every choice that has not ended, side by side, each as a generation of its own."""
        events: asyncio.Queue[GenerationEvent] = asyncio.Queue()

        async def follow(choice: int) -> None:
            async with aclosing(self.generate(_alone(request, progress, choice))) as own_events:
                async for event in own_events:
                    if progress[choice].take(replace(event, choice=choice)):
                        await events.put(replace(event, choice=choice))

        async with asyncio.TaskGroup() as group:
            running = {
                group.create_task(follow(choice))
                for choice, one in enumerate(progress)
                if not one.is_finished
            }
            while running or not events.empty():
                getting = asyncio.ensure_future(events.get())
                done, _ = await asyncio.wait({getting, *running}, return_when=asyncio.FIRST_COMPLETED)
                running -= done
                if getting in done:
                    yield getting.result()
                else:
                    getting.cancel()


@asynccontextmanager
async def connect_to_all(
    addresses: Sequence[str],
    settings: RetrySettings | None = None,
    connection: ConnectionSettings = PLAIN_TEXT,
) -> AsyncIterator[ResumingOrchestrator]:
    """Connect to the orchestrators at HOST:PORT, at least one, inside a `with`.

    Raises ConfigError over the settings of the connection.
    """
    async with AsyncExitStack() as stack:
        orchestrators = [
            await stack.enter_async_context(connect(address, connection)) for address in addresses
        ]
        yield ResumingOrchestrator(orchestrators, settings or RetrySettings())


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


class _Retry:
    """Pauses between attempts, until there was no progress for too long."""

    def __init__(self, settings: RetrySettings, num_orchestrators: int) -> None:
        self._settings = settings
        self._pause_seconds = settings.first_pause_seconds
        self._give_up_at = time.monotonic() + settings.give_up_at_first_seconds
        self._num_untried = num_orchestrators

    def succeed(self) -> None:
        """Note progress."""
        self._pause_seconds = self._settings.first_pause_seconds
        self._give_up_at = time.monotonic() + self._settings.give_up_seconds
        self._num_untried = 0

    async def wait(self, error: CallFailedError) -> None:
        """Wait for the next attempt; raises the error where none is due."""
        is_retryable = error.code in _RETRYABLE_CODES and error.call_reason not in _FINAL_REASONS
        self._num_untried -= 1
        is_too_late = time.monotonic() + error.retry_after_seconds + self._pause_seconds > self._give_up_at
        if not is_retryable or (is_too_late and self._num_untried <= 0):
            raise error
        jitter = random.uniform(0.5, 1.0)  # noqa: S311, spreads clients
        await asyncio.sleep(error.retry_after_seconds + jitter * self._pause_seconds)
        self._pause_seconds = min(2 * self._pause_seconds, self._settings.last_pause_seconds)


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
