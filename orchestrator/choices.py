"""The choices of one request, side by side."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from orchestrator.generation import Generation
from paceline.client.generation import GenerationEvent, TokenChunk
from paceline.errors import PacelineError


class ChoiceEvent(NamedTuple):
    """An event, and which choice it happened to."""

    choice: int
    event: GenerationEvent


class Choices:
    """Runs generations of one prompt. The first computes it; the others begin at the same target once it has."""

    def __init__(self, generations: Sequence[Generation]) -> None:
        self._generations = generations
        self._events: asyncio.Queue[ChoiceEvent] = asyncio.Queue(len(generations))
        self._is_prompt_computed = asyncio.Event()

    @property
    def session_ids(self) -> list[str]:
        """The session of each choice."""
        return [generation.session_id for generation in self._generations]

    async def events(self) -> AsyncGenerator[ChoiceEvent]:
        """Yield the events of all choices as they come; raises the first error, and ends the other choices then."""
        if len(self._generations) == 1:
            async with aclosing(self._generations[0].events()) as events:
                async for event in events:
                    yield ChoiceEvent(0, event)
            return
        running = asyncio.ensure_future(self._run_all())
        try:
            while (event := await self._next(running)) is not None:
                yield event
            await running
        finally:
            running.cancel()
            await asyncio.wait([running])

    async def claim(self) -> None:
        """Own the session of a single choice already; see `Generation.claim`."""
        if len(self._generations) == 1:
            await self._generations[0].claim()

    def interrupt(self, error: PacelineError) -> None:
        """End every generation with an error after the round that runs."""
        for generation in self._generations:
            generation.interrupt(error)

    async def close(self) -> None:
        """Close every generation; once is enough."""
        await asyncio.gather(*(generation.close() for generation in self._generations))

    async def _run_all(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for choice, generation in enumerate(self._generations):
                    group.create_task(self._run(choice, generation))
        except ExceptionGroup as errors:  # not except*, out of which some Pythons raise a group again
            raise errors.exceptions[0] from None  # the others were cancelled for it

    async def _run(self, choice: int, generation: Generation) -> None:
        first = self._generations[0]
        if generation is not first:
            await self._is_prompt_computed.wait()
            generation.begin_beside(first)
        async with aclosing(generation.events()) as events:
            async for event in events:
                if isinstance(event, TokenChunk):
                    self._is_prompt_computed.set()
                await self._events.put(ChoiceEvent(choice, event))
        self._is_prompt_computed.set()

    async def _next(self, running: asyncio.Future[None]) -> ChoiceEvent | None:
        """Return the next event, None once all choices have ended and every event was returned."""
        getting = asyncio.ensure_future(self._events.get())
        await asyncio.wait((getting, running), return_when=asyncio.FIRST_COMPLETED)
        if getting.done():
            return getting.result()
        getting.cancel()
        return None if self._events.empty() else self._events.get_nowait()
