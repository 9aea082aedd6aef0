"""The orchestrator's gRPC server: SERVING only once there is something to serve with."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from paceline.serving.server import ServiceServer


class PatientServer(ServiceServer):
    """A server whose health stays NOT_SERVING until what it depends on is there."""

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
