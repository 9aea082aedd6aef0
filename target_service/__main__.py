"""`python -m target_service`."""

import asyncio

from paceline.serving.program import started
from target_service.config import TargetConfig


def main() -> None:
    """Host the target model until SIGTERM."""
    with started(TargetConfig) as config:
        # Only now, because OpenVINO sizes its thread pool by the cores that the process is pinned to.
        from target_service.program import serve  # noqa: PLC0415

        asyncio.run(serve(config))


if __name__ == "__main__":
    main()
