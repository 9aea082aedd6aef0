"""TLS everywhere, with real processes: all certificates are replaced in mid-generation, and then a target is killed."""

import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from paceline.client.connection import ConnectionSettings
from paceline.client.errors import CallFailedError
from paceline.client.generation import (
    GenerationEvent,
    GenerationRequest,
    GenerationSummary,
    RawPrompt,
    Speculation,
    SpeculationMode,
    TokenChunk,
)
from paceline.client.orchestrator import connect
from paceline.local.health import is_serving
from paceline.local.listen_address import free_ports
from paceline.local.redis_server import redis_server
from tests.certificates import Authority, MountedSecret
from tests.chaos.models import write_pair
from tests.paceline.serving.processes import Program, program

POOLS: tuple[str, ...] = ("target", "draft", "orchestrator")
CLIENT = "client"
SPECULATION = Speculation(SpeculationMode.FIXED, 2)
REQUEST = GenerationRequest(RawPrompt("the line of riders"), 900, speculation=SPECULATION, ignore_eos=True)


def name_of(pool: str) -> str:
    return f"paceline-{pool}"


@dataclass
class SecureCluster:
    """One process of each program; `health` has the addresses for probes."""

    addresses: dict[str, str]
    health: dict[str, str]
    arguments: dict[str, Sequence[str]]
    secrets: dict[str, MountedSecret]
    stack: AsyncExitStack
    programs: dict[str, Program] = field(default_factory=dict[str, Program])

    async def start(self, *pools: str) -> None:
        for pool in pools:
            module = pool if pool == "orchestrator" else f"{pool}_service"
            arguments = (*self.arguments[pool], *self.secrets[pool].flags)
            self.programs[pool] = await self.stack.enter_async_context(
                program(
                    module,
                    *("--listen", self.addresses[pool], "--health-listen", self.health[pool]),
                    *("--grace-seconds", "5", *arguments),
                )
            )
        for pool in pools:
            await self.programs[pool].event("serving")

    def rotate(self, authority: Authority) -> None:
        """Replace every certificate, every key, and the authority itself."""
        for pool, secret in self.secrets.items():
            secret.replace(authority.issue(name_of(pool)))

    @property
    def connection(self) -> ConnectionSettings:
        """How clients connect now."""
        return self.secrets[CLIENT].connection(name_of("orchestrator"), is_named=False)


@asynccontextmanager
async def secure_cluster(directory: Path, authority: Authority) -> AsyncIterator[SecureCluster]:
    target_model, draft_model = write_pair(directory / "models")
    ports = [f"127.0.0.1:{port}" for port in free_ports(2 * len(POOLS))]
    addresses, health = (dict(zip(POOLS, part, strict=True)) for part in (ports[:3], ports[3:]))
    hosting = ("--kv-cache-mib", "2", "--num-threads", "1", "--tls-peer-names", name_of("orchestrator"))
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(redis_server(directory / "redis", directory / "redis.log"))
        cluster = SecureCluster(
            addresses,
            health,
            {
                "target": ("--model", str(target_model), *hosting),
                "draft": ("--model", str(draft_model), *hosting),
                "orchestrator": (
                    *("--model", str(target_model), "--redis-url", redis.url),
                    *("--target-addresses", addresses["target"], "--draft-addresses", addresses["draft"]),
                    *("--failover-wait-seconds", "60"),
                ),
            },
            {
                pool: MountedSecret(directory / pool, authority.issue(name_of(pool)))
                for pool in (*POOLS, CLIENT)
            },
            stack,
        )
        await cluster.start(*POOLS)
        yield cluster


class Reader:
    """Reads a generation as far as it is told to."""

    def __init__(self, events: AsyncIterator[GenerationEvent]) -> None:
        self._events = events
        self.ids: list[int] = []
        self.text = ""
        self.summary: GenerationSummary | None = None

    async def read(self, num_tokens: int) -> None:
        """Read so many more tokens, or to the end."""
        wanted = len(self.ids) + num_tokens
        while len(self.ids) < wanted and (event := await anext(self._events, None)) is not None:
            match event:
                case TokenChunk():
                    self.ids += [token.id for token in event.tokens]
                    self.text += event.text
                case GenerationSummary():
                    self.summary = event
                case _:
                    pass


async def test_all_certificates_are_replaced_in_mid_generation_and_the_text_is_the_same(
    tmp_path: Path,
) -> None:
    old, new = Authority(), Authority()
    async with secure_cluster(tmp_path, old) as cluster:
        stale = cluster.connection
        async with connect(cluster.addresses["orchestrator"], stale) as client:
            undisturbed = await client.complete(REQUEST)
            async with aclosing(client.generate(REQUEST)) as events:
                reader = Reader(events)
                await reader.read(30)
                cluster.rotate(new)
                await reader.read(30)
                cluster.programs["target"].process.kill()
                assert await cluster.programs["target"].exit_code() == -signal.SIGKILL
                await cluster.start("target")  # it has never had the old certificates
                await reader.read(REQUEST.max_tokens or 0)
        assert (tuple(reader.ids), reader.text) == (undisturbed.token_ids, undisturbed.text)
        assert reader.summary is not None
        assert sum(reader.summary.recovery.num_failovers.values()) == 1
        assert reader.summary.speculation.num_accepted_tokens > 0

        async with connect(cluster.addresses["orchestrator"], cluster.connection) as client:
            assert (await client.complete(REQUEST)).token_ids == undisturbed.token_ids
        cut_off = MountedSecret(tmp_path / "stale", old.issue("client")).connection(name_of("orchestrator"))
        async with connect(cluster.addresses["orchestrator"], cut_off) as client:
            with pytest.raises(CallFailedError, match="no TLS connection"):
                await client.served_models()

        assert [await is_serving(address) for address in cluster.health.values()] == [True] * 3
        assert not await is_serving(cluster.addresses["target"]), "without a certificate"
        for one in reversed(cluster.programs.values()):
            one.process.send_signal(signal.SIGTERM)
            assert await one.exit_code() == 0
