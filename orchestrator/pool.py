"""The replicas of one kind that this orchestrator may use."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import grpc.aio
import structlog

from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.errors import VocabularyMismatchError, WrongModelError
from orchestrator.replica import ReconnectSettings, Replica
from orchestrator.replica_choice import ReplicaLoad, least_loaded
from orchestrator.replica_client import ReplicaClient, ReplicaDescription
from orchestrator.rounds import Proposal, ProposalRequest, Verdict, VerifyRound

Request = TypeVar("Request", VerifyRound, ProposalRequest)
Answer = TypeVar("Answer")

_log = structlog.get_logger()


class ReplicaPool(Generic[Request, Answer]):
    """Keeps connections to a list of addresses and chooses among those that answer.

    A replica is used only if its vocabulary is the tokenizer's and its model has the name that the first one had.
    One whose logits differ in their last bits is used, with a warning: text may then change in a failover.

    Attributes:
        num_refused: How often a replica was connected but could not be used.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        make_client: Callable[[grpc.aio.Channel], ReplicaClient[Request, Answer]],
        vocabulary_sha256: str,
        make_breaker: Callable[[], CircuitBreaker],
        reconnect: ReconnectSettings,
    ) -> None:
        self._replicas = {
            address: Replica(address, make_client, make_breaker(), reconnect) for address in addresses
        }
        self._vocabulary_sha256 = vocabulary_sha256
        self._first: ReplicaDescription | None = None
        self._gained = asyncio.Event()
        self.num_refused = 0
        self._has_mismatch = False

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Stay connected for as long as the block runs."""
        tasks = [asyncio.create_task(replica.run(self)) for replica in self._replicas.values()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def replicas(self) -> list[Replica[Request, Answer]]:
        """All replicas, ready or not."""
        return list(self._replicas.values())

    @property
    def descriptions(self) -> list[ReplicaDescription]:
        """What the ready replicas are."""
        return [one.description for one in self._replicas.values() if one.description is not None]

    def choose(self, preferred_address: str | None = None) -> Replica[Request, Answer] | None:
        """Return a replica for a session, the preferred one if it is usable; None where none is usable now."""
        preferred = self._replicas.get(preferred_address or "")
        if preferred is not None and preferred.is_usable:
            return preferred
        loads = [
            ReplicaLoad(one.address, one.num_sessions) for one in self._replicas.values() if one.is_usable
        ]
        chosen = least_loaded(loads)
        return self._replicas[chosen.address] if chosen is not None else None

    @property
    def reason_for_none(self) -> str:
        """Why there is no replica to choose, in the words of `num_degraded_rounds`."""
        return "VOCABULARY_MISMATCH" if self._has_mismatch else "NO_DRAFT_REPLICA"

    async def wait_for_one(self) -> Replica[Request, Answer]:
        """Return a replica for a session as soon as one is usable."""
        while (replica := self.choose()) is None:
            self._gained.clear()
            await self._gained.wait()
        return replica

    def admit(self, description: ReplicaDescription) -> None:
        """Raise VocabularyMismatchError or WrongModelError unless sessions can use such a replica."""
        self._has_mismatch = description.model.vocabulary_sha256 != self._vocabulary_sha256
        if self._has_mismatch:
            self.num_refused += 1
            raise VocabularyMismatchError(description.owner.replica_id, description.model.name)
        first = self._first = self._first or description
        if description.model.name != first.model.name:
            self.num_refused += 1
            raise WrongModelError(description.owner.replica_id, description.model.name, first.model.name)
        if description.model.numerics_digest != first.model.numerics_digest:
            _log.warning("numerics_differ", replica_id=description.owner.replica_id)

    def gained(self) -> None:
        """Wake those who wait for a replica."""
        self._gained.set()


TargetPool = ReplicaPool[VerifyRound, Verdict]
DraftPool = ReplicaPool[ProposalRequest, Proposal]
TargetReplica = Replica[VerifyRound, Verdict]
DraftReplica = Replica[ProposalRequest, Proposal]
