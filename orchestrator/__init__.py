"""OrchestratorService: runs the speculative rounds, owns sessions, serves clients."""
