"""What the model services need of the engine."""

from typing import Protocol

from paceline.engine.progress import CacheUsage, EngineProgress
from paceline.engine.sequence import Sequence
from paceline.engine.work import Work, WorkHandle
from paceline.errors import PacelineError


class ModelEngine(Protocol):
    """The part of `paceline.engine.engine.Engine` that serves sessions. Every method may be called anywhere."""

    @property
    def failure(self) -> PacelineError | None:
        """What ended the engine; None while it serves."""
        ...

    def open_sequence(self) -> Sequence:
        """Return an empty sequence."""
        ...

    def fork_sequence(self, source: Sequence) -> Sequence:
        """Return a sequence that comes to share what the source holds, before its own first work is looked at."""
        ...

    def submit(self, work: Work) -> WorkHandle:
        """Queue a work."""
        ...

    def close_sequence(self, sequence: Sequence) -> None:
        """Free a sequence's blocks; a running work of it fails with SequenceClosedError."""
        ...

    def usage(self) -> CacheUsage:
        """Count the blocks of the KV cache."""
        ...

    def progress(self) -> EngineProgress:
        """Tell how far the engine has come, at once, even while a pass hangs."""
        ...
