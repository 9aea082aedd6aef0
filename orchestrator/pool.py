"""The replicas of one kind that this orchestrator may use."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc.aio
import structlog

from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.discovery import DnsName, Places, Resolve, follow, resolve_dns
from orchestrator.errors import VersionNotSupportedError, VocabularyMismatchError, WrongModelError
from orchestrator.prefix_map import PrefixMap
from orchestrator.replica import ReconnectSettings, Replica
from orchestrator.replica_choice import ReplicaCandidate, best_replica
from orchestrator.replica_client import ReplicaClient, ReplicaDescription
from orchestrator.replica_liveness import LivenessLimits
from orchestrator.rounds import Proposal, ProposalRequest, Verdict, VerifyRound
from orchestrator.session_record import CacheOwner
from paceline.errors import PacelineError
from paceline.security.trust import Trust
from paceline.serving.version import ServiceVersion

Request = TypeVar("Request", VerifyRound, ProposalRequest)
Answer = TypeVar("Answer")

# A replica becomes usable by itself when its breaker's cool-down ends, which nothing announces.
_LOOK_SECONDS = 0.05

_log = structlog.get_logger()


@dataclass(frozen=True)
class Discovery:
    """How names in DNS are followed."""

    resolve: Resolve = resolve_dns
    interval_seconds: float = 5.0


class ReplicaPool(Generic[Request, Answer]):
    """Keeps connections to the replicas of its addresses and names, and chooses among those that answer.

    A replica is used only if its version works with ours, its vocabulary is the tokenizer's and its model has the name
    that the first one had.
    One whose logits differ in their last bits is used, with a warning: text may then change in a failover.
    A replica that its name no longer resolves to is used until its connection ends: a pod that drains leaves DNS first.

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
        limits: LivenessLimits = LivenessLimits(),  # noqa: B008, frozen
        discovery: Discovery = Discovery(),
        version: ServiceVersion | None = None,
        trust: Trust | None = None,
    ) -> None:
        self._places = Places.of(addresses)
        self._discovery = discovery
        self._make_replica = lambda address: Replica(
            address, make_client, make_breaker(), reconnect, limits, trust
        )
        self._replicas: dict[str, Replica[Request, Answer]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._resolved: dict[DnsName, frozenset[str]] = {}
        self._prefixes = PrefixMap()
        self._vocabulary_sha256 = vocabulary_sha256
        self._first: ReplicaDescription | None = None
        self._gained = asyncio.Event()
        self._version = version or ServiceVersion.here()
        self.num_refused = 0
        self._refusal = ""  # of the replica that was met last

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Stay connected for as long as the block runs."""
        for address in self._places.addresses:
            self._add(address)
        following = [asyncio.create_task(self._follow(name)) for name in self._places.names]
        try:
            yield
        finally:
            tasks = [*following, *self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, name: DnsName) -> None:
        async for addresses in follow(name, self._discovery.resolve, self._discovery.interval_seconds):
            self._resolved[name] = addresses
            for address in addresses - self._replicas.keys():
                _log.info("replica_found", name=name.name, address=address)
                self._add(address)
            self._drop_the_gone()

    def _add(self, address: str) -> None:
        replica = self._replicas[address] = self._make_replica(address)
        self._tasks[address] = asyncio.create_task(replica.run(self))

    def _drop_the_gone(self) -> None:
        """Look no more for replicas that no name resolves to and that are not connected."""
        wanted = frozenset(self._places.addresses).union(*self._resolved.values())
        for address in self._replicas.keys() - wanted:
            if self._replicas[address].description is None:
                _log.info("replica_dropped", address=address)
                del self._replicas[address]
                self._tasks.pop(address).cancel()

    @property
    def replicas(self) -> list[Replica[Request, Answer]]:
        """All replicas, ready or not."""
        return list(self._replicas.values())

    @property
    def descriptions(self) -> list[ReplicaDescription]:
        """What the ready replicas are."""
        return [one.description for one in self._replicas.values() if one.description is not None]

    def choose(
        self,
        preferred_address: str | None = None,
        *,
        preferred_replica_id: str | None = None,
        ids: Sequence[int] = (),
        avoid: Collection[str] = (),
    ) -> Replica[Request, Answer] | None:
        """Return a replica for a session; None where none is usable now.

        That is the one at the preferred address if it is usable, else what `best_replica` says of the replica with
        the preferred id and of those that computed the beginning of `ids` lately; never one at an address to avoid.
        """
        usable = [one for one in self._replicas.values() if one.is_usable and one.address not in avoid]
        chosen = next((one for one in usable if one.address == preferred_address), None)
        if chosen is None:
            best = best_replica(self._candidates(usable, preferred_replica_id, ids))
            chosen = self._replicas[best.address] if best is not None else None
        if chosen is not None:
            chosen.breaker.begin(time.monotonic())
        return chosen

    def remember(self, ids: Sequence[int], owner: CacheOwner) -> None:
        """Note that a process has computed ids, for later choices."""
        self._prefixes.remember(ids, owner)

    @property
    def reason_for_none(self) -> str:
        """Why there is no replica to choose, in the words of `num_degraded_rounds`."""
        return self._refusal or "NO_DRAFT_REPLICA"

    async def wait_for_one(
        self, *, ids: Sequence[int] = (), avoid: Collection[str] = ()
    ) -> Replica[Request, Answer]:
        """Return a replica for a session as soon as one is usable, one to avoid only where no other is."""
        while (replica := self.choose(ids=ids, avoid=avoid) or self.choose(ids=ids)) is None:
            self._gained.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._gained.wait()
        return replica

    def admit(self, description: ReplicaDescription) -> None:
        """Raise unless sessions can use such a replica.

        Raises VersionNotSupportedError, VocabularyMismatchError or WrongModelError.
        """
        try:
            self._check(description)
        except PacelineError as error:
            self.num_refused += 1
            self._refusal = error.reason
            raise
        self._refusal = ""

    def _check(self, description: ReplicaDescription) -> None:
        replica_id, model = description.owner.replica_id, description.model
        if not description.version.works_with(self._version):
            raise VersionNotSupportedError(replica_id, description.version, self._version)
        if model.vocabulary_sha256 != self._vocabulary_sha256:
            raise VocabularyMismatchError(replica_id, model.name)
        first = self._first = self._first or description
        if model.name != first.model.name:
            raise WrongModelError(replica_id, model.name, first.model.name)
        if model.numerics_digest != first.model.numerics_digest:
            _log.warning("numerics_differ", replica_id=replica_id)

    def gained(self) -> None:
        """Wake those who wait for a replica."""
        self._gained.set()

    def _candidates(
        self, usable: Sequence[Replica[Request, Answer]], preferred_replica_id: str | None, ids: Sequence[int]
    ) -> list[ReplicaCandidate]:
        now = time.monotonic()
        lengths = self._prefixes.lengths(ids) if len(usable) > 1 else {}
        return [
            ReplicaCandidate(
                one.address,
                one.num_sessions,
                one.pulse.num_available_blocks(now),
                lengths.get(one.description.owner, 0),
                one.description.owner.replica_id == preferred_replica_id,
            )
            for one in usable
            if one.description is not None
        ]


TargetPool = ReplicaPool[VerifyRound, Verdict]
DraftPool = ReplicaPool[ProposalRequest, Proposal]
TargetReplica = Replica[VerifyRound, Verdict]
DraftReplica = Replica[ProposalRequest, Proposal]
