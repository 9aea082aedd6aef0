"""The playground: files that a browser gets as they are, and may combine with nothing of anybody else's."""

from pathlib import Path

from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

DIRECTORY = Path(__file__).parent / "playground"
_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cache-control": "no-cache",  # asked for again, and answered with 304 where it is the same
}


class Playground:
    """Serves the files."""

    def __init__(self) -> None:
        self._files = StaticFiles(directory=DIRECTORY, html=True, check_dir=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                added = ((name.encode(), value.encode()) for name, value in _HEADERS.items())
                message["headers"] = [*message["headers"], *(one for one in added if one[0] not in names)]
            await send(message)

        await self._files(scope, receive, strictly)
