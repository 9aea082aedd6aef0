"""Does to a cluster what a schedule says, and makes it whole again."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from math import inf

from tests.chaos.client import Client, Disturbance, StreamBrokenError
from tests.chaos.cluster import READY_SECONDS, ChaosCluster
from tests.chaos.fault import LINKS, Action, Fault, FaultKind, Part
from tests.chaos.link import LinkState
from tests.chaos.node import Node
from tests.chaos.schedule import is_survivable
from tests.chaos.transcript import Transcript

DELAY_SECONDS = (0.005, 0.25)


class Injector:
    """Injects faults; `counts` has how many of each kind have begun.

    A fault whose time has come waits until the cluster survives it, and those after it are so much later: a machine
    that is busier than the schedule supposed starts processes more slowly.
    """

    def __init__(self, cluster: ChaosCluster, clients: Sequence[Client], dice: random.Random) -> None:
        self.counts: Counter[FaultKind] = Counter()
        self._cluster = cluster
        self._clients = clients
        self._dice = dice
        self._active: list[Fault] = []
        self._ended = asyncio.Condition()

    async def run(
        self,
        faults: Sequence[Fault],
        seconds_limit: float = inf,
        on_fault: Callable[[Fault], None] = lambda fault: None,
    ) -> None:
        """Inject every fault in its turn, none after the limit, and return when all is whole again."""
        started_at = began_at = time.monotonic()
        async with asyncio.TaskGroup() as running:
            for fault in faults:
                await asyncio.sleep(began_at + fault.at_seconds - time.monotonic())
                await self._until_survivable(fault)
                began_at = time.monotonic() - fault.at_seconds
                if time.monotonic() - started_at > seconds_limit:
                    break
                self._active.append(fault)
                self.counts[fault.kind] += 1
                on_fault(fault)
                running.create_task(self._inject(fault))
        await self._cluster.until_ready()

    async def _until_survivable(self, fault: Fault) -> None:
        async with self._ended:
            await self._ended.wait_for(lambda: is_survivable([*self._active, fault], self._cluster.topology))

    async def _inject(self, fault: Fault) -> None:
        async with self._active_until_the_end(fault):
            if fault.kind.part is Part.CLIENT:
                self._dice.choice(self._clients).disturb(disturbance_of(fault))
            elif fault.kind.part in LINKS:
                await self._hurt_link(fault)
            elif fault.kind.action is Action.LIE:
                await self._cluster.network.lie(lies=True)
                await asyncio.sleep(fault.seconds)
                await self._cluster.network.lie(lies=False)
            else:
                await self._hurt_node(fault, self._cluster.nodes[fault.victim])

    @asynccontextmanager
    async def _active_until_the_end(self, fault: Fault) -> AsyncIterator[None]:
        yield
        async with self._ended:
            self._active.remove(fault)
            self._ended.notify_all()

    async def _hurt_link(self, fault: Fault) -> None:
        network = self._cluster.network
        if fault.kind.action is Action.DELAY:
            await network.change(fault.victim, LinkState.OPEN, self._dice.uniform(*DELAY_SECONDS))
        else:
            await network.change(fault.victim, LinkState(fault.kind.action.value))
        await asyncio.sleep(fault.seconds)
        await network.change(fault.victim, LinkState.OPEN)

    async def _hurt_node(self, fault: Fault, node: Node) -> None:
        if fault.kind.action is Action.PAUSE:
            node.pause()
            await asyncio.sleep(fault.seconds)
            node.go_on()
            return
        await (node.kill() if fault.kind.action is Action.KILL else node.drain())
        await asyncio.sleep(fault.seconds)
        await node.start()
        async with asyncio.timeout(READY_SECONDS):
            await node.until_ready()


def disturbance_of(fault: Fault) -> Disturbance:
    """Return what a client is to do after its next chunk."""

    async def vanish(client: Client, transcript: Transcript) -> None:
        raise StreamBrokenError("VANISHED", fault.seconds)

    async def dawdle(client: Client, transcript: Transcript) -> None:
        await asyncio.sleep(fault.seconds)
        client.be_present()

    async def duplicate(client: Client, transcript: Transcript) -> None:
        if transcript.token:
            await client.resume_twice(transcript)
            client.be_present()
            raise StreamBrokenError("DUPLICATED")

    return {Action.VANISH: vanish, Action.DAWDLE: dawdle, Action.DUPLICATE: duplicate}[fault.kind.action]
