"""What telemetry costs: two clusters of the same models, one that tells nothing, one that tells all, in turn.

    python -m benchmarks.telemetry_overhead --pair reference --sessions 4
    python -m benchmarks.telemetry_overhead --pair tiny --sessions 16 --trace-ratio 1

Both clusters run on the same cores; while one generates, the other has nothing to do. Runs are short and many, because
a machine that others use changes its speed within seconds, and both of a pair should meet the same one. The one that
tells all sends traces and metrics to a receiver on this machine, which throws them away, and serves Prometheus metrics
that are scraped once a second. The receiver's and the scraper's own CPU time counts against telemetry. Counters that
nobody asks for are kept in both: what they cost is printed apart, as microseconds a round.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import httpx

from orchestrator.finished_round import FinishedRound, RoundTimes
from orchestrator.orchestrator_metrics import OrchestratorMetrics
from orchestrator.rounds import RoundTiming
from paceline.cli.benchmark.machine import this_machine, versions
from paceline.cli.cluster_options import ModelOptions, assign_cores, set_up_models
from paceline.cli.model_setup import DRAFT_WEIGHTS, TARGET_WEIGHTS
from paceline.client.generation import GenerationRequest, RawPrompt, TokenOrigin
from paceline.client.orchestrator import connect
from paceline.local.cluster import LocalCluster
from paceline.local.plan import ClusterConfig
from paceline.telemetry.metrics import Metrics

_SERVE = "--serve-receiver"
_METRICS_PORT = 19464
_NUM_TIMED_ROUNDS = 20_000
_PROMPTS = (
    "def quicksort(numbers):\n",
    "class LinkedList:\n    def __init__(self):\n",
    "The history of the steam engine begins",
    "To make a good soup, first",
)
_ROUND = FinishedRound(
    number=1,
    position=100,
    epoch=1,
    times=RoundTimes(1.0, 1.0001, 1.02, 1.12, 1.1201, 1.1202),
    drafter="model",
    num_wanted=5,
    num_drafted=5,
    num_accepted=3,
    num_tokens=4,
    own_origin=TokenOrigin.RECOVERED,
    num_ahead=2,
    num_dropped=1,
    ahead_outcome="missed",
    degraded_reason="",
    draft_timing=RoundTiming(0.0001, 0.019, 0),
    target_timing=RoundTiming(0.0001, 0.099, 0, 1, 6, 1),
    failovers=(),
    target_replica_id="target-0",
    draft_replica_id="draft-0",
)


class _Sink(grpc.GenericRpcHandler):
    """Answers every call with an empty message, which is what OTLP's answers are."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"")


def serve_receiver() -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    server = grpc.server(ThreadPoolExecutor(2), handlers=[_Sink()])
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(0)


@asynccontextmanager
async def receiver() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.telemetry_overhead", _SERVE,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.stdin.close()
        await process.wait()


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Let the processes that are started inside the block have these variables."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]


async def scrape(ports: Sequence[int]) -> None:
    """Ask all processes for their metrics once a second, until cancelled."""
    async with httpx.AsyncClient() as client:
        while True:
            await asyncio.sleep(1.0)
            for port in ports:
                (await client.get(f"http://127.0.0.1:{port}/metrics")).raise_for_status()


async def tokens_per_second(address: str, num_sessions: int, num_tokens: int) -> float:
    """Generate with all sessions at once, from another prompt each."""

    async def one(number: int) -> int:
        prompt = f"# {number}\n{_PROMPTS[number % len(_PROMPTS)]}"
        async with connect(address) as orchestrator:
            request = GenerationRequest(RawPrompt(prompt), num_tokens, ignore_eos=True)
            return len((await orchestrator.complete(request)).token_ids)

    started_at = time.monotonic()
    counts = await asyncio.gather(*map(one, range(num_sessions)))
    return sum(counts) / (time.monotonic() - started_at)


async def measure(config: ClusterConfig, options: argparse.Namespace) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"off": [], "on": []}
    with tempfile.TemporaryDirectory() as directory:
        folders = [Path(directory) / name for name in found]
        for folder in folders:
            folder.mkdir()
        silent = LocalCluster(config, folders[0])
        telling = LocalCluster(replace(config, metrics_port=_METRICS_PORT), folders[1])
        ratio = str(options.trace_ratio)
        async with receiver() as endpoint, silent.running():
            with environment(
                OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
                PACELINE_ORCHESTRATOR_TRACE_RATIO=ratio,
            ):
                async with telling.running():
                    scraping = asyncio.create_task(
                        scrape([_METRICS_PORT, _METRICS_PORT + 1, _METRICS_PORT + 101])
                    )
                    addresses = {"off": silent.address, "on": telling.address}
                    for name in found:  # warms up
                        await tokens_per_second(addresses[name], options.sessions, options.tokens)
                    for repeat in range(options.repeats):
                        for name in list(found)[:: 1 if repeat % 2 else -1]:
                            rate = await tokens_per_second(addresses[name], options.sessions, options.tokens)
                            found[name].append(rate)
                            print(f"  {name}: {rate:.1f} tok/s", file=sys.stderr)
                    scraping.cancel()
    return found


def microseconds_a_round() -> float:
    """What counting one round takes, at best of several tries."""
    metrics = OrchestratorMetrics(Metrics())
    best = float("inf")
    for _ in range(5):
        started_at = time.perf_counter()
        for _ in range(_NUM_TIMED_ROUNDS):
            metrics.note_round(_ROUND)
        best = min(best, time.perf_counter() - started_at)
    return 1e6 * best / _NUM_TIMED_ROUNDS


def interval_of_median(values: Sequence[float]) -> tuple[float, float]:
    """Return the values between which the median lies in 95 of 100 cases, whatever its distribution is."""
    ordered, half_width = sorted(values), 0.98 * len(values) ** 0.5
    middle = (len(values) - 1) / 2
    lowest, highest = max(0, round(middle - half_width)), min(len(values) - 1, round(middle + half_width))
    return ordered[lowest], ordered[highest]


def main() -> None:
    if sys.argv[1:] == [_SERVE]:
        return serve_receiver()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pair", default="reference")
    parser.add_argument("--cores", default=None)
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--num-draft-tokens", type=int, default=3, help="fixed: adaptive lengths vary more")
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--trace-ratio", type=float, default=0.05)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    models = set_up_models(ModelOptions(options.pair, TARGET_WEIGHTS, DRAFT_WEIGHTS))
    cores = assign_cores(options.cores)
    config = replace(models, cores=cores, num_draft_tokens=options.num_draft_tokens)
    found = asyncio.run(measure(config, options))
    ratios = [on / off for on, off in zip(found["on"], found["off"], strict=True)]
    quartiles = statistics.quantiles(ratios, n=4)
    lowest, highest = interval_of_median(ratios)
    if options.json:
        print(json.dumps({"tokens_per_second": found, "ratios": ratios, "versions": versions()}))
        return None
    machine = this_machine()
    print(f"machine: {machine.cpu}, {machine.num_usable_cores} cores; {versions()}")
    print(f"command: python -m benchmarks.telemetry_overhead {' '.join(sys.argv[1:])}")
    print(
        f"cores: {config.cores.describe() or 'not pinned'}; {options.sessions} sessions, {options.tokens} tokens each"
    )
    for name, rates in found.items():
        print(
            f"{name:>4}: median {statistics.median(rates):.1f} tok/s ({min(rates):.1f} to {max(rates):.1f})"
        )
    print(
        f"on / off: median {statistics.median(ratios):.3f} (95 % confidence {lowest:.3f} to {highest:.3f}), "
        f"quartiles {quartiles[0]:.3f} to {quartiles[2]:.3f}, "
        f"{options.repeats} pairs; trace ratio {options.trace_ratio}"
    )
    print(f"counting a round: {microseconds_a_round():.1f} us")
    return None


if __name__ == "__main__":
    main()
