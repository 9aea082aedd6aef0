"""The real Redis of the orchestrator's tests, for commands against whole orchestrators."""

from tests.orchestrator.conftest import redis

__all__ = ["redis"]
