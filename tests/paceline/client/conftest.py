"""The real Redis of the orchestrator's tests, for clients of whole orchestrators."""

from tests.orchestrator.conftest import redis

__all__ = ["redis"]
