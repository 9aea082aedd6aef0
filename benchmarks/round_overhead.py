"""What a round costs besides the models: the orchestrator, both hops and Redis, on loopback.

Run it from the repository: `python -m benchmarks.round_overhead`. Two scripted replicas (see
tests/orchestrator/scripted_replicas.py) answer at once from a process of their own, so that nearly all of a round is
overhead; Redis is a real server, and the client is a third process. Printed is the wall time of a round without what
the replicas report as computing: serialisation, sockets and scheduling on all sides, Redis and the orchestrator.
"""

import argparse
import asyncio
import platform
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path

import grpc.aio

from orchestrator.closings import Closings
from orchestrator.config import OrchestratorConfig
from orchestrator.generation import Surroundings
from orchestrator.program import orchestrator_service, pools, store_settings
from orchestrator.server import PatientServer
from orchestrator.servicer import OrchestratorServicer
from orchestrator.session_store import SessionStore
from paceline.client.generation import Speculation
from paceline.client.orchestrator import Orchestrator, connect
from paceline.local.redis_server import redis_server
from tests.orchestrator.rig import OFF, TOKENIZER, draft, fixed, ids_request, target, until
from tests.orchestrator.scripted_replicas import serving

PROMPT = tuple(range(64))


async def serve_replicas() -> None:
    target_service, draft_service = target(), draft(quality=0.8)
    async with serving(target_service, draft_service):
        print(target_service.replica.address, draft_service.replica.address, flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def serve_orchestrator(config: OrchestratorConfig, profile_path: str | None) -> None:
    targets, drafts = pools(config, TOKENIZER.vocabulary_hash)
    draining, closings = asyncio.Event(), Closings()
    async with SessionStore.connect(store_settings(config)) as store, targets.connected(), drafts.connected():
        servicer = OrchestratorServicer(
            Surroundings(config, store, targets, drafts), TOKENIZER, draining, closings
        )
        async with PatientServer(config, [orchestrator_service(servicer)], draining) as server:
            await until(lambda: bool(targets.descriptions and drafts.descriptions))
            print(server.port, flush=True)
            if profile_path:
                import cProfile  # noqa: PLC0415

                profiler = cProfile.Profile()
                profiler.enable()
            await asyncio.to_thread(sys.stdin.read)
            if profile_path:
                profiler.disable()
                profiler.dump_stats(profile_path)
        await closings.ended()


async def child(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.round_overhead",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def first_line(process: asyncio.subprocess.Process) -> list[str]:
    """Read on to the first line that is no log line."""
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode():
        if "[" not in line:
            return line.split()
    raise RuntimeError("a process of the benchmark has died")


async def end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


async def seconds_per_round(
    client: Orchestrator, num_sessions: int, num_tokens: int, speculation: Speculation
) -> list[float]:
    """Wall seconds a round without the replicas' computing, one value a session."""

    async def one(number: int) -> float:
        started_at = time.perf_counter()
        completion = await client.complete(
            ids_request((number, *PROMPT), num_tokens, speculation=speculation)
        )
        elapsed, timing = time.perf_counter() - started_at, completion.summary.timing
        num_rounds = completion.summary.speculation.num_rounds
        return (elapsed - timing.draft_seconds - timing.verify_seconds) / num_rounds

    return list(await asyncio.gather(*(one(number) for number in range(num_sessions))))


async def measure(options: argparse.Namespace) -> None:
    print(f"machine: {platform.machine()}, {platform.platform()}, cores {options.cores}")
    print(f"python {platform.python_version()}, grpcio {grpc.__version__}, redis-py {version('redis')}")
    print(f"command: {' '.join(['python', '-m', 'benchmarks.round_overhead', *sys.argv[1:]])}")
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="paceline-")))
        redis = await stack.enter_async_context(redis_server(directory, directory / "redis.log"))
        replicas = await child("--serve", "replicas")
        stack.push_async_callback(end, replicas)
        target_address, draft_address = await first_line(replicas)
        serve = ["--serve", "orchestrator", "--redis-url", redis.url]
        profile = ["--profile", options.profile] if options.profile else []
        orchestrator = await child(
            *serve, "--target-address", target_address, "--draft-address", draft_address, *profile
        )
        stack.push_async_callback(end, orchestrator)
        (port,) = await first_line(orchestrator)
        client = await stack.enter_async_context(connect(f"127.0.0.1:{port}"))
        await seconds_per_round(client, 4, 200, fixed(5))  # warm up
        for name, speculation in (("K = 5", fixed(5)), ("off", OFF)):
            for num_sessions in (1, 4, 16):
                values = [
                    1000 * value
                    for _ in range(options.repeats if num_sessions == 1 else 3)
                    for value in await seconds_per_round(client, num_sessions, options.tokens, speculation)
                ]
                low, high = min(values), max(values)
                print(
                    f"{name:>6}, {num_sessions:>2} sessions: {statistics.median(values):.3f} ms a round, "
                    f"{low:.3f} to {high:.3f} over {len(values)} generations; "
                    f"{statistics.median(values) / num_sessions:.3f} ms a session's round"
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tokens", type=int, default=400, help="tokens a generation")
    parser.add_argument("--repeats", type=int, default=15, help="generations with one session")
    parser.add_argument("--cores", default="all", help="only printed; pin with taskset")
    parser.add_argument("--profile", help="write a cProfile of the orchestrator here")
    parser.add_argument("--serve", choices=["replicas", "orchestrator"], help=argparse.SUPPRESS)
    for name in ("--redis-url", "--target-address", "--draft-address"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    match options.serve:
        case "replicas":
            asyncio.run(serve_replicas())
        case "orchestrator":
            config = OrchestratorConfig(
                listen="127.0.0.1:0",
                target_addresses=(options.target_address,),
                draft_addresses=(options.draft_address,),
                redis_url=options.redis_url,
                model="unused",
            )
            asyncio.run(serve_orchestrator(config, options.profile))
        case _:
            asyncio.run(measure(options))


if __name__ == "__main__":
    main()
