"""Work for a client, for as long as the client is there."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive


class ClientGoneError(Exception):
    """The client has closed its connection, or was dropped."""


async def while_present(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do work whose request was read, and cancel it once the client has gone; raises ClientGoneError then."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGoneError
        working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.wait((working, leaving))


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
