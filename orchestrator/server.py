"""The orchestrator's gRPC server: SERVING once there is something to serve with; at the end new calls go elsewhere."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from paceline.serving.server import ServiceServer


class PatientServer(ServiceServer):
    """A server whose health stays NOT_SERVING until what it depends on is there.

    When it drains, it tells its clients at once to take their next calls elsewhere (GOAWAY) and takes no connection any
    more; what runs goes on. A client's connection would otherwise lead here until the end, though a Service of
    Kubernetes has long stopped to lead anybody here.
    """

    _leaving: asyncio.Task[None] | None = None

    async def serve_after(self, dependencies: Coroutine[Any, Any, None]) -> None:
        """Serve as soon as `dependencies` returns; a request to stop ends the waiting too."""
        tasks = [asyncio.ensure_future(dependencies), asyncio.ensure_future(self._stop_requested.wait())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        for task in done:
            task.result()
        await self.serve()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await super().__aexit__(kind, error, traceback)
        if self._leaving is not None:
            await self._leaving

    async def _drain(self) -> None:
        self._leaving = asyncio.create_task(self._server.stop(self._config.grace_seconds))
        await super()._drain()
