"""Clients in a closed loop: each session generates, and when that has ended, again."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import replace

from benchmarks.simulation.chain_model import prompt_ids
from benchmarks.simulation.load_plan import Begun, Generation, LoadPlan, LoadResult, Window
from paceline.client.errors import CallFailedError
from paceline.client.generation import (
    GenerationRequest,
    GenerationSummary,
    PromptIds,
    RawPrompt,
    TokenChunk,
)
from paceline.client.orchestrator import Orchestrator, connect

RETRY_SECONDS = 2.0


@asynccontextmanager
async def running_load(plan: LoadPlan) -> AsyncIterator["Load"]:
    """Run the sessions of a plan for as long as the block runs; what still runs then is cancelled."""
    load = Load(plan)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(address)) for address in plan.addresses]
        sessions = range(plan.first_session, plan.first_session + plan.num_sessions)
        tasks = [
            asyncio.create_task(load.session(number, clients[number % len(clients)])) for number in sessions
        ]
        try:
            yield load
        finally:
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None and not isinstance(outcome, asyncio.CancelledError):
                raise outcome


class Load:
    """The running sessions of a plan; made by `running_load`."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._result = LoadResult()
        self._window: Window | None = None
        self._num_open = 0
        self._begun_sessions: set[int] = set()
        self._have_all_begun = asyncio.Event()

    async def begun(self) -> Begun:
        """Wait until every session has got tokens, but no longer than the plan's patience."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._plan.patience_seconds):
                await self._have_all_begun.wait()
        return Begun(len(self._begun_sessions))

    async def counted(self, window: Window) -> LoadResult:
        """Return what arrives in a window, once that is over."""
        self._window = window
        await asyncio.sleep(window.end - time.monotonic())
        return replace(self._result, num_open_sessions=self._num_open)

    async def session(self, number: int, client: Orchestrator) -> None:
        """Generate until cancelled."""
        starts_at = self._plan.starts_at + number / self._plan.starts_per_second
        await asyncio.sleep(starts_at - time.monotonic())
        turn = 0
        while True:
            try:
                await self._generation(number, client, self._request(number, turn))
            except CallFailedError as error:
                failures = self._result.failures
                failures[error.message] = failures.get(error.message, 0) + 1
                await asyncio.sleep(RETRY_SECONDS)
            turn += 1

    def _request(self, number: int, turn: int) -> GenerationRequest:
        plan = self._plan
        if plan.prompts:
            text = plan.prompts[(number + turn) % len(plan.prompts)]
            return GenerationRequest(RawPrompt(text), plan.max_tokens, plan.speculation, ignore_eos=True)
        spread = plan.max_prompt_tokens - plan.min_prompt_tokens + 1
        num_prompt_tokens = plan.min_prompt_tokens + (7 * number + turn) % spread
        return GenerationRequest(
            PromptIds(prompt_ids(number, 1000 * plan.turn + turn, num_prompt_tokens)),
            plan.max_tokens,
            plan.speculation,
            ignore_eos=True,
        )

    async def _generation(self, number: int, client: Orchestrator, request: GenerationRequest) -> None:
        previous: tuple[float, int] | None = None  # when the last chunk came, and its round
        try:
            async with aclosing(client.generate(request)) as events:
                async for event in events:
                    now = time.monotonic()
                    if isinstance(event, TokenChunk):
                        self._note_chunk(event, now, previous)
                        if previous is None:
                            self._note_begin(number)
                        previous = now, event.round
                    elif isinstance(event, GenerationSummary) and self._counts(now):
                        self._result.generations.append(generation_of(event))
        finally:
            self._num_open -= previous is not None

    def _note_begin(self, number: int) -> None:
        self._num_open += 1
        self._begun_sessions.add(number)
        if len(self._begun_sessions) == self._plan.num_sessions:
            self._have_all_begun.set()

    def _note_chunk(self, chunk: TokenChunk, now: float, previous: tuple[float, int] | None) -> None:
        if not self._counts(now):
            return
        self._result.num_tokens += len(chunk.tokens)
        self._result.num_rounds += chunk.round - previous[1] if previous else 1
        if previous is not None:
            self._result.round_seconds.add(now - previous[0])

    def _counts(self, now: float) -> bool:
        return self._window is not None and self._window.begin <= now < self._window.end


def generation_of(summary: GenerationSummary) -> Generation:
    """Return what a summary tells of a generation.

    Example: 10 rounds drafted 2 tokens, 6 rounds had the first accepted and 3 of those the second: 16 were judged.
    """
    speculation, timing = summary.speculation, summary.timing
    drafted, accepted = speculation.num_drafted_per_position, speculation.num_accepted_per_position
    num_drafted_rounds = drafted[0] if drafted else 0
    reached = (num_drafted_rounds, *accepted)
    return Generation(
        summary.usage.num_prompt_tokens,
        speculation.num_rounds,
        num_drafted_rounds,
        speculation.num_draft_tokens,
        sum(map(min, drafted, reached)),
        speculation.num_accepted_tokens,
        timing.total_seconds,
        timing.draft_seconds,
        timing.verify_seconds,
        timing.queue_seconds,
        timing.network_seconds,
        timing.commit_seconds,
        timing.time_to_first_token_seconds,
    )
