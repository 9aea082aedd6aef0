"""Changes of many sessions on their way to Redis: what has gathered goes out as one call of the script."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from orchestrator.errors import SessionStoreUnavailableError
from orchestrator.session_script import MAX_BATCH, Call, Outcome, answer_of

# Batches on their way at once: a second one, so that a connection that hangs does not hold up all sessions.
_MAX_SENDERS = 2
# Turns of the event loop until the request of a session's next round is on the wire: the task that asks, the stream's
# writer, the write itself.
_TURNS_FOR_THE_NEXT_ROUNDS = 3

Answered = asyncio.Future[list[Any]]


async def let_the_next_rounds_go_first() -> None:
    """Wait until the rounds that follow a commit have been asked for, so that Redis is not in their way."""
    for _ in range(_TURNS_FOR_THE_NEXT_ROUNDS):
        await asyncio.sleep(0)


class CallLine:
    """Gathers calls of different sessions and sends them together; each caller gets what came of its own.

    One call a session at a time: two of them may go out side by side.
    """

    def __init__(self, send: Callable[[Sequence[Call]], Awaitable[Sequence[Outcome]]]) -> None:
        self._send = send
        self._waiting: deque[tuple[Call, Answered]] = deque()
        self._is_gathering = False
        self._num_senders = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, call: Call) -> list[Any]:
        """Return the answer to one call; raises SessionStoreUnavailableError."""
        answered: Answered = asyncio.get_running_loop().create_future()
        self._waiting.append((call, answered))
        if not self._is_gathering and self._num_senders < _MAX_SENDERS:
            self._is_gathering = True
            self._num_senders += 1
            task = asyncio.create_task(self._gather_and_send())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answered

    async def close(self) -> None:
        """Give up what is on its way; nobody may wait for it any more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _gather_and_send(self) -> None:
        await let_the_next_rounds_go_first()
        self._is_gathering = False
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
                await self._send_batch(batch)
        finally:
            self._num_senders -= 1

    async def _send_batch(self, batch: Sequence[tuple[Call, Answered]]) -> None:
        try:
            outcomes = await self._send([call for call, _ in batch])
        except SessionStoreUnavailableError as error:
            outcomes = [SessionStoreUnavailableError(error.message) for _ in batch]
        except Exception as error:
            outcomes = [error] * len(batch)
        for (_, answered), outcome in zip(batch, outcomes, strict=True):
            if not answered.done():  # else its caller has gone
                _settle(answered, outcome)


def _settle(answered: Answered, outcome: Outcome) -> None:
    try:
        answered.set_result(answer_of(outcome))
    except Exception as error:
        answered.set_exception(error)
