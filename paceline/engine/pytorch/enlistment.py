"""What a follower is told first: who it is, where the others are, and what it loads."""

from dataclasses import dataclass

from pydantic import TypeAdapter

from paceline.engine.config import EngineConfig
from paceline.engine.pytorch.rank import Rank


@dataclass(frozen=True)
class Enlistment:
    """One follower's.

    Attributes:
        rank: Its own.
        port: Of the leader's meeting place.
        config: The engine's.
    """

    rank: Rank
    port: int
    config: EngineConfig

    def to_bytes(self) -> bytes:
        """Return it as JSON."""
        return _JSON.dump_json(self)

    @staticmethod
    def from_bytes(content: bytes) -> "Enlistment":
        """Read it back."""
        return _JSON.validate_json(content)


_JSON = TypeAdapter(Enlistment)
