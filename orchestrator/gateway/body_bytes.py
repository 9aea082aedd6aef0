"""The body of a request, bounded in bytes and in time."""

import asyncio

from starlette.requests import Request

from orchestrator.gateway.http_errors import HttpError, MessageTooLargeError

_JSON = "application/json"


class BodyRoom:
    """Bytes that all bodies which are being read may have together."""

    def __init__(self, num_bytes: int) -> None:
        self._num_left = num_bytes

    def take(self, num_bytes: int) -> None:
        """Take room; raises HttpError where there is not enough."""
        if num_bytes > self._num_left:
            raise HttpError("TOO_MUCH_AT_ONCE", "too much is being sent at once; try again soon")
        self._num_left -= num_bytes

    def give_back(self, num_bytes: int) -> None:
        """Give back what was taken."""
        self._num_left += num_bytes


async def json_bytes(request: Request, max_bytes: int, patience_seconds: float, room: BodyRoom) -> bytes:
    """Return the body of a request that says that it has JSON.

    A page of another site can have a browser send anything that is not JSON without asking. Raises HttpError, or
    MessageTooLargeError before more was read than may be.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != _JSON:
        raise HttpError("UNSUPPORTED_MEDIA_TYPE", f"send the body as {_JSON}, and say so in Content-Type")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise MessageTooLargeError(max_bytes)
    content = bytearray()
    try:
        async with asyncio.timeout(patience_seconds):
            async for part in request.stream():
                room.take(len(part))
                content += part
                if len(content) > max_bytes:
                    raise MessageTooLargeError(max_bytes)
    except TimeoutError:
        raise HttpError("TOO_SLOW", f"the body did not come within {patience_seconds:g} s") from None
    finally:
        room.give_back(len(content))
    return bytes(content)
