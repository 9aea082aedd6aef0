"""What a round costs besides the models: the orchestrator, both hops and Redis, on loopback.

Run it from the repository: `python -m benchmarks.round_overhead`. Two replicas answer at once (instant_servicers.py),
each from a process of its own, so that nearly all of a round is overhead; Redis is a real server, and the clients are
processes of their own that read no more of a chunk than that it came. Printed are

- the wall time of a round with one session, without what the replicas report as computing, and where it goes: a second
  orchestrator has clocks around its parts (round_stopwatch.py);
- how many rounds a second one orchestrator carries with more and more sessions, and how many for each second of CPU
  time that its process takes, which does not depend on how many cores the other processes have to share.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import grpc.aio

from benchmarks.instant_servicers import serve_replica
from benchmarks.round_stopwatch import RoundStopwatch, Seconds
from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.closings import Closings
from orchestrator.config import OrchestratorConfig
from orchestrator.pool import DraftPool, TargetPool
from orchestrator.program import orchestrator_service, pools, share_key, store_settings, surround, upkeep
from orchestrator.replica import ReconnectSettings
from orchestrator.replica_client import DraftClient, TargetClient
from orchestrator.server import PatientServer
from orchestrator.servicer import OrchestratorServicer
from orchestrator.session_store import SessionStore
from paceline.client.generation import GenerationRequest, PromptIds, Speculation, SpeculationMode
from paceline.client.messages import request_message
from paceline.local.redis_server import redis_server
from paceline.serving.collector import spare_long_lived_objects
from paceline.v1 import orchestrator_service_pb2
from tests.orchestrator.byte_tokenizer import byte_tokenizer

NUM_PROMPT_IDS = 64
NUM_DRAFT_TOKENS = 5
SPECULATIONS = {
    "K = 5": Speculation(SpeculationMode.FIXED, NUM_DRAFT_TOKENS),
    "off": Speculation(SpeculationMode.OFF),
}
PLACES = ("serialise", "hop to the draft", "hop to the target", "queue", "bookkeeping")
_GENERATE = "/paceline.v1.OrchestratorService/Generate"
_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Load(NamedTuple):
    """Generations that run side by side."""

    num_sessions: int
    num_tokens: int
    speculation: str  # a key of SPECULATIONS


class Carried(NamedTuple):
    """What came of a load: rounds and seconds of all sessions, and each session's seconds a round without models."""

    num_rounds: int
    started_at: float
    ended_at: float
    seconds_a_round: list[float]


class Child:
    """A process of this benchmark that ends with its stdin."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS

    async def answer(self, line: str = "") -> str:
        """Send a line and return the next one that is no log line."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if line:
            self._process.stdin.write(line.encode() + b"\n")
        while answer := (await self._process.stdout.readline()).decode():
            if "[" not in answer or answer.startswith("{"):
                return answer.strip()
        raise RuntimeError("a process of the benchmark has died")


@asynccontextmanager
async def child(*arguments: str) -> AsyncIterator[Child]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.round_overhead",
        "--serve",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        yield Child(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def lines_of_stdin() -> AsyncIterator[str]:
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line.strip()


# --- the orchestrator's process ---


async def serve_orchestrator(config: OrchestratorConfig, options: argparse.Namespace) -> None:
    tokenizer = byte_tokenizer()
    stopwatch = RoundStopwatch() if options.leader else None
    targets, drafts = pools_for(config, tokenizer.vocabulary_hash, stopwatch)
    if stopwatch is not None:
        stopwatch.install(options.leader)
    draining, closings = asyncio.Event(), Closings()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(SessionStore.connect(store_settings(config)))
        for pool in (targets, drafts):
            await stack.enter_async_context(pool.connected())
        surroundings = surround(config, store, targets, drafts)
        await share_key(surroundings)
        await stack.enter_async_context(upkeep(surroundings))
        servicer = OrchestratorServicer(surroundings, tokenizer, draining, closings)
        server = await stack.enter_async_context(
            PatientServer(config, [orchestrator_service(servicer)], draining)
        )
        await targets.wait_for_one()
        await drafts.wait_for_one()
        spare_long_lived_objects()  # as ServiceServer.serve does
        print(f"127.0.0.1:{server.port}", flush=True)
        await answer_the_bench(stopwatch, options.profile)
        await closings.ended()


def pools_for(
    config: OrchestratorConfig, vocabulary: str, stopwatch: RoundStopwatch | None
) -> tuple[TargetPool, DraftPool]:
    if stopwatch is None:
        return pools(config, vocabulary)
    return (
        TargetPool(
            config.target_addresses,
            lambda channel: TargetClient(stopwatch.channel(channel)),
            vocabulary,
            lambda: CircuitBreaker(0.5, 30.0),
            ReconnectSettings(),
        ),
        DraftPool(
            config.draft_addresses,
            lambda channel: DraftClient(stopwatch.channel(channel)),
            vocabulary,
            lambda: CircuitBreaker(0.5, 30.0),
            ReconnectSettings(),
        ),
    )


async def answer_the_bench(stopwatch: RoundStopwatch | None, profile_path: str | None) -> None:
    """Tell what was measured, or forget it, whenever a line comes; write a profile of the time until stdin ends."""
    profiler = None
    if profile_path:
        import cProfile  # noqa: PLC0415

        profiler = cProfile.Profile()
        profiler.enable()
    async for line in lines_of_stdin():
        assert stopwatch is not None
        if line == "restart":
            stopwatch.restart()
        measured = {"rounds": stopwatch.rounds, "commits": stopwatch.commits, "commands": stopwatch.commands}
        print(json.dumps(measured), flush=True)
    if profiler is not None and profile_path:
        profiler.disable()
        profiler.dump_stats(profile_path)


# --- a client's process ---


async def serve_client(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        generate = channel.unary_stream(
            _GENERATE, request_serializer=orchestrator_service_pb2.GenerateRequest.SerializeToString
        )
        async for line in lines_of_stdin():
            print(json.dumps((await carry(generate, Load(*json.loads(line))))._asdict()), flush=True)


async def carry(generate: Any, load: Load) -> Carried:
    """Run generations to their end; messages stay bytes, but for the last ones."""

    async def one(number: int) -> tuple[int, float]:
        prompt_ids = (number, *range(NUM_PROMPT_IDS))
        speculation = SPECULATIONS[load.speculation]
        request = GenerationRequest(
            PromptIds(prompt_ids), max_tokens=load.num_tokens, speculation=speculation
        )
        started_at, last = time.monotonic(), b""
        async for data in generate(request_message(request)):
            last = data
        elapsed = time.monotonic() - started_at
        summary = orchestrator_service_pb2.GenerateResponse.FromString(last).summary
        num_rounds = summary.speculation.num_rounds
        return num_rounds, (
            elapsed - summary.timing.draft_seconds - summary.timing.verify_seconds
        ) / num_rounds

    started_at = time.monotonic()
    results = await asyncio.gather(*(one(number) for number in range(load.num_sessions)))
    num_rounds = sum(result[0] for result in results)
    return Carried(num_rounds, started_at, time.monotonic(), [result[1] for result in results])


# --- the benchmark ---


async def carried_by(clients: Sequence[Child], load: Load) -> Carried:
    """Spread the sessions of a load over clients."""
    shares = [
        load._replace(
            num_sessions=load.num_sessions // len(clients) + (place < load.num_sessions % len(clients))
        )
        for place in range(len(clients))
    ]
    answers = await asyncio.gather(
        *(
            client.answer(json.dumps(share))
            for client, share in zip(clients, shares, strict=True)
            if share.num_sessions
        )
    )
    parts = [Carried(**json.loads(answer)) for answer in answers]
    return Carried(
        sum(part.num_rounds for part in parts),
        min(part.started_at for part in parts),
        max(part.ended_at for part in parts),
        [seconds for part in parts for seconds in part.seconds_a_round],
    )


def quartiles(values: Sequence[float]) -> str:
    """The median and the quartiles of seconds, as milliseconds."""
    low, middle, high = (1000 * value for value in statistics.quantiles(values, n=4))
    return f"{middle:.3f} ms ({low:.3f} to {high:.3f})"


async def measure_one_session(
    orchestrator: Child, client: Child, name: str, options: argparse.Namespace
) -> None:
    load, values = Load(1, options.tokens, name), list[float]()
    before, num_rounds = orchestrator.cpu_seconds, 0
    for _ in range(options.repeats):
        carried = await carried_by([client], load)
        values += carried.seconds_a_round
        num_rounds += carried.num_rounds
    cpu = 1000 * (orchestrator.cpu_seconds - before) / num_rounds
    print(
        f"{name:>6},   1 session: {quartiles(values)} a round without the models, by the client's clock, over "
        f"{len(values)} generations; {cpu:.3f} ms of the orchestrator's CPU time",
        flush=True,
    )


async def measure_places(orchestrator: Child, client: Child, name: str, options: argparse.Namespace) -> None:
    await carried_by([client], Load(1, 200, name))
    await orchestrator.answer("restart")
    for _ in range(options.repeats):
        await carried_by([client], Load(1, options.tokens, name))
    measured = json.loads(await orchestrator.answer("tell"))
    rounds: list[Seconds] = measured["rounds"]
    for one in rounds:
        elsewhere = one["models"] + sum(one.get(place, 0.0) for place in PLACES)
        one["bookkeeping"] = one["round"] - elsewhere
    overhead = [one["round"] - one["models"] for one in rounds]
    print(
        f"{name:>6}, where it goes: {quartiles(overhead)} a round, by the orchestrator's clock, {len(rounds)} rounds"
    )
    for place in PLACES:
        print(f"{'':>8}{place:<18} {quartiles([one.get(place, 0.0) for one in rounds])}")
    print(f"{'':>8}{'beside it: Redis':<18} {quartiles(measured['commands'])} for the commit's command")
    print(f"{'':>8}{'':<18} {quartiles(measured['commits'])} from commit to acknowledgement", flush=True)


async def measure_load(
    orchestrator: Child, clients: Sequence[Child], load: Load, options: argparse.Namespace
) -> None:
    rates, costs, shares = list[float](), list[float](), list[float]()
    for _ in range(options.load_repeats):
        before = orchestrator.cpu_seconds
        carried = await carried_by(clients, load)
        cpu, wall = orchestrator.cpu_seconds - before, carried.ended_at - carried.started_at
        rates.append(carried.num_rounds / wall)
        costs.append(carried.num_rounds / cpu)
        shares.append(cpu / wall)
    print(
        f"{load.speculation:>6}, {load.num_sessions:>3} sessions: {statistics.median(rates):5.0f} rounds/s "
        f"({min(rates):.0f} to {max(rates):.0f}); {statistics.median(costs):5.0f} rounds a second of the "
        f"orchestrator's CPU time ({min(costs):.0f} to {max(costs):.0f}), its share {statistics.median(shares):.0%}",
        flush=True,
    )


async def measure(options: argparse.Namespace) -> None:
    print(
        f"machine: {platform.machine()}, {platform.platform()}, {os.cpu_count()} cores, {options.cores} used"
    )
    print(f"python {platform.python_version()}, grpcio {grpc.__version__}, redis-py {version('redis')}")
    print(f"command: {' '.join(['python', '-m', 'benchmarks.round_overhead', *sys.argv[1:]])}", flush=True)
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="paceline-")))
        redis = await stack.enter_async_context(redis_server(directory, directory / "redis.log"))
        target = await stack.enter_async_context(child("target"))
        draft = await stack.enter_async_context(child("draft"))
        serve = ("orchestrator", "--redis-url", redis.url)
        addresses = ("--target-address", await target.answer(), "--draft-address", await draft.answer())
        if not options.only_load:
            for name, leader in (("K = 5", "draft"), ("off", "target")):
                async with (
                    child(*serve, *addresses, "--leader", leader) as timed,
                    child("client", "--address", await timed.answer()) as client,
                ):
                    await measure_places(timed, client, name, options)
        profile = ("--profile", options.profile) if options.profile else ()
        orchestrator = await stack.enter_async_context(child(*serve, *addresses, *profile))
        address = await orchestrator.answer()
        clients = [
            await stack.enter_async_context(child("client", "--address", address))
            for _ in range(options.clients)
        ]
        await carried_by(clients, Load(4, 200, "K = 5"))  # warm up
        for name in SPECULATIONS:
            if not options.only_load:
                await measure_one_session(orchestrator, clients[0], name, options)
            for num_sessions in options.sessions:
                num_tokens = options.tokens if num_sessions < 64 else options.tokens // 2
                await measure_load(orchestrator, clients, Load(num_sessions, num_tokens, name), options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tokens", type=int, default=400, help="tokens a generation")
    parser.add_argument("--repeats", type=int, default=15, help="generations with one session")
    parser.add_argument(
        "--load-repeats", type=int, default=5, help="times that each number of sessions is run"
    )
    parser.add_argument("--sessions", type=int, nargs="+", default=[4, 16, 64, 256], help="sessions at once")
    parser.add_argument("--clients", type=int, default=2, help="processes of clients")
    parser.add_argument("--only-load", action="store_true", help="leave the rounds of a single session out")
    parser.add_argument("--cores", default="all", help="only printed; pin with taskset")
    parser.add_argument("--profile", help="write a cProfile of the orchestrator here")
    parser.add_argument(
        "--serve", choices=["target", "draft", "orchestrator", "client"], help=argparse.SUPPRESS
    )
    for name in ("--redis-url", "--target-address", "--draft-address", "--address", "--leader"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    match options.serve:
        case "target" | "draft":
            asyncio.run(serve_replica(options.serve, byte_tokenizer().vocabulary_hash))
        case "client":
            asyncio.run(serve_client(options.address))
        case "orchestrator":
            config = OrchestratorConfig(
                listen="127.0.0.1:0",
                target_addresses=(options.target_address,),
                draft_addresses=(options.draft_address,),
                redis_url=options.redis_url,
                model="unused",
            )
            asyncio.run(serve_orchestrator(config, options))
        case _:
            asyncio.run(measure(options))


if __name__ == "__main__":
    main()
