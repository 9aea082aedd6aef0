"""What every peer can do."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping

from benchmarks.peers.exchange import Load, Outcome, RoundTrips


class Peer(ABC):
    """A system that generates, loaded and ready; `about` says in words what computes."""

    about: str

    @property
    def pids(self) -> Mapping[str, int]:
        """The processes that do the work, by role."""
        return {"process": os.getpid()}

    @abstractmethod
    async def run(self, load: Load) -> Outcome:
        """Generate everything that a load asks for."""

    async def set_round_trips(self, round_trips: RoundTrips) -> RoundTrips:
        """Emulate other distances from now on, and return the round-trip times that were then measured."""
        raise NotImplementedError(f"{type(self).__name__} has no network")
