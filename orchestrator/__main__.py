"""`python -m orchestrator`."""

import asyncio

from orchestrator.config import OrchestratorConfig
from orchestrator.program import serve
from paceline.serving.program import started


def main() -> None:
    """Run the rounds until SIGTERM."""
    with started(OrchestratorConfig) as config:
        asyncio.run(serve(config))


if __name__ == "__main__":
    main()
