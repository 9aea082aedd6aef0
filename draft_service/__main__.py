"""`python -m draft_service`."""

import asyncio

from draft_service.config import DraftConfig
from paceline.serving.program import started


def main() -> None:
    """Host the draft model until SIGTERM."""
    with started(DraftConfig) as config:
        # Only now, because OpenVINO sizes its thread pool by the cores that the process is pinned to.
        from draft_service.program import serve  # noqa: PLC0415

        asyncio.run(serve(config))


if __name__ == "__main__":
    main()
