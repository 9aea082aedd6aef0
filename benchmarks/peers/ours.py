"""Paceline itself: a local cluster of real processes, asked over gRPC as users do."""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from time import monotonic

from benchmarks.network.distant_cluster import DistantCluster
from benchmarks.network.emulation import Emulation, emulation
from benchmarks.peers.exchange import Answer, Arrival, Client, Load, Manner, Outcome, Question, RoundTrips
from benchmarks.peers.peer import Peer
from benchmarks.peers.setup import PeerSetup
from paceline.client.completion import Completion
from paceline.client.generation import (
    GenerationRequest,
    PromptIds,
    Sampling,
    Speculation,
    SpeculationMode,
)
from paceline.client.orchestrator import Orchestrator, connect
from paceline.client.served_model import ServedModel
from paceline.local.cluster import LocalCluster
from paceline.local.cluster_record import cluster_directory
from paceline.local.core_assignment import parse_cores
from paceline.local.plan import ClusterConfig, ModelChoice

POLL_SECONDS = 0.1
MODES = {
    "target": SpeculationMode.OFF,
    "fixed": SpeculationMode.FIXED,
    "adaptive": SpeculationMode.ADAPTIVE,
}


@asynccontextmanager
async def ours(setup: PeerSetup) -> AsyncGenerator[Peer]:
    """Run a cluster inside a `with`, in network namespaces where the set-up says so."""
    config = _config(setup)
    with cluster_directory() as directory:
        if setup.has_network:
            async with emulation() as network:
                cluster = DistantCluster(config, directory, network)
                async with cluster.running(), connect(cluster.address) as orchestrator:
                    yield await _Ours.of(cluster, orchestrator, network)
        else:
            cluster = LocalCluster(config, directory)
            async with cluster.running(), connect(cluster.address) as orchestrator:
                yield await _Ours.of(cluster, orchestrator, None)


class _Ours(Peer):
    def __init__(
        self, cluster: LocalCluster, orchestrator: Orchestrator, network: Emulation | None, about: str
    ) -> None:
        self.about = about
        self._cluster = cluster
        self._orchestrator = orchestrator
        self._network = network

    @classmethod
    async def of(
        cls, cluster: LocalCluster, orchestrator: Orchestrator, network: Emulation | None
    ) -> "_Ours":
        # The draft serves already, but the orchestrator may still have to hear what it is.
        while (models := await orchestrator.served_models()).draft is None:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(POLL_SECONDS)
        about = f"{_describe(models.target)}{_invariance(models.target)}, draft {_describe(models.draft)}"
        return cls(cluster, orchestrator, network, about)

    @property
    def pids(self) -> Mapping[str, int]:
        return {child.name: child.pid for child in self._cluster.children}

    async def run(self, load: Load) -> Outcome:
        began_at = monotonic()
        clients = (self._ask_all(client, load, began_at) for client in load.clients)
        results = [result for one in await asyncio.gather(*clients) for result in one]
        summaries = [completion.summary.speculation for _, completion in results]
        return Outcome(
            tuple(answer for answer, _ in results),
            sum(one.num_draft_tokens for one in summaries),
            sum(one.num_accepted_tokens for one in summaries),
        )

    async def set_round_trips(self, round_trips: RoundTrips) -> RoundTrips:
        if self._network is None:
            return await super().set_round_trips(round_trips)
        return await self._network.set_round_trips(round_trips)

    async def _ask_all(self, client: Client, load: Load, began_at: float) -> list[tuple[Answer, Completion]]:
        await asyncio.sleep(max(0.0, began_at + client.start_seconds - monotonic()))
        results: list[tuple[Answer, Completion]] = []
        for question in client.questions:
            asked_seconds = monotonic() - began_at
            completion = await self._orchestrator.complete(_request(question, load))
            arrivals = tuple(Arrival(one.seconds, one.num_tokens) for one in completion.arrivals)
            results.append((Answer(question.name, asked_seconds, completion.token_ids, arrivals), completion))
        return results


def _request(question: Question, load: Load) -> GenerationRequest:
    return GenerationRequest(
        PromptIds(question.prompt_ids),
        max_tokens=load.max_tokens,
        speculation=_speculation(load.manner),
        sampling=Sampling(temperature=load.temperature, seed=question.seed),
    )


def _speculation(manner: Manner) -> Speculation:
    return Speculation(MODES[manner.kind], manner.num_draft_tokens or None)


def _config(setup: PeerSetup) -> ClusterConfig:
    assert setup.draft is not None
    target, draft = (
        ModelChoice(model.name, model.weights, model.directory, model.engine, model.device)
        for model in (setup.target, setup.draft)
    )
    return ClusterConfig(target, draft, cores=parse_cores(setup.cores, os.sched_getaffinity(0)))


def _describe(model: ServedModel) -> str:
    where = "" if model.device == "CPU" else f" on {model.device}"
    return f"{model.weights} {model.compute_precision}/{model.kv_precision}{where}"


def _invariance(target: ServedModel) -> str:
    """Return a warning where the ids of a target may depend on what else it computes."""
    return "" if target.is_batch_invariant else ", NOT batch-invariant"
