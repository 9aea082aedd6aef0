"""Distance between two processes of one machine: what is sent arrives later, in order, as much at once as ever."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class _End(NamedTuple):
    error: BaseException | None


async def delayed(items: AsyncIterator[T], seconds: float) -> AsyncGenerator[T]:
    """Yield each item so many seconds after it came, and end, or fail, as late as that too.

    The items are taken as they come, however slowly they are consumed: the way has any width.
    """
    loop, on_the_way = asyncio.get_running_loop(), asyncio.Queue[tuple[float, T | _End]]()

    async def send() -> None:
        end = _End(None)
        try:
            async for item in items:
                on_the_way.put_nowait((loop.time() + seconds, item))
        except Exception as error:
            end = _End(error)
        on_the_way.put_nowait((loop.time() + seconds, end))

    sending = asyncio.create_task(send())
    try:
        while True:
            due, item = await on_the_way.get()
            await asyncio.sleep(due - loop.time())
            if isinstance(item, _End):
                break
            yield item
        if item.error is not None:
            raise item.error
    finally:
        sending.cancel()
        await asyncio.wait([sending])
