"""What the model services need of the engine."""

from typing import Protocol

from paceline.engine.sequence import Sequence
from paceline.engine.work import Work, WorkHandle


class ModelEngine(Protocol):
    """The part of `paceline.engine.engine.Engine` that serves sessions. Every method may be called anywhere."""

    def open_sequence(self) -> Sequence:
        """Return an empty sequence."""
        ...

    def submit(self, work: Work) -> WorkHandle:
        """Queue a work."""
        ...

    def close_sequence(self, sequence: Sequence) -> None:
        """Free a sequence's blocks; a running work of it fails with SequenceClosedError."""
        ...
