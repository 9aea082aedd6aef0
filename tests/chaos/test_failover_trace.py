"""A generation with a failover in it, as a collector sees it: the whole trace, and every metric that the docs name."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import httpx
import pytest

from paceline.client.errors import CallFailedError
from paceline.client.generation import GenerationRequest, RawPrompt, Speculation, SpeculationMode
from paceline.client.orchestrator import connect
from paceline.local.listen_address import free_ports
from paceline.telemetry.catalogue import CATALOGUE, Kind
from tests.chaos.aftermath import owner_of
from tests.chaos.cluster import ChaosCluster, ClusterSettings, chaos_cluster
from tests.chaos.topology import REDIS, Topology
from tests.orchestrator.tenant_rig import entry, key_of, write_tenants
from tests.otlp_receiver import OtlpReceiver, ReceivedMetric, ReceivedSpan, otlp_receiver
from tests.paceline.cli.command import start

NUM_TOKENS = 200
NUM_TOKENS_BEFORE = 30
NUM_DRAFT_TOKENS = 3
SERVER, CLIENT, INTERNAL = 2, 3, 1  # kinds, as OTLP numbers them
KINDS = {Kind.COUNTER: "sum", Kind.GAUGE: "gauge", Kind.HISTOGRAM: "histogram"}
OF_ORCHESTRATORS = "paceline-orchestrator"
TENANT = "ann"
CALLER = key_of(TENANT)


class Trace:
    """The spans of one trace."""

    def __init__(self, spans: Sequence[ReceivedSpan]) -> None:
        self.spans = spans
        self._children: dict[str, list[ReceivedSpan]] = defaultdict(list)
        for span in sorted(spans, key=lambda span: span.started_ns):
            self._children[span.parent_id].append(span)

    def named(self, name: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if span.name == name]

    def children(self, span: ReceivedSpan, name: str | None = None) -> list[ReceivedSpan]:
        return [one for one in self._children[span.span_id] if name in {None, one.name}]

    def only(self, span: ReceivedSpan | None, name: str) -> ReceivedSpan:
        [child] = [
            one for one in self._children[span.span_id if span is not None else ""] if one.name == name
        ]
        return child


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[OtlpReceiver]:
    """A collector that all processes of the test report to, and that gets every trace of the orchestrator."""
    with otlp_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        for program in ("ORCHESTRATOR", "TARGET", "DRAFT"):
            monkeypatch.setenv(f"PACELINE_{program}_METRICS_INTERVAL_SECONDS", "0.5")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        assert CALLER.api_key is not None
        monkeypatch.setenv("PACELINE_API_KEY", CALLER.api_key)
        yield receiver


async def generate_across_a_kill(cluster: ChaosCluster, runtime: Path) -> dict[str, dict[str, object]]:
    """Run `paceline generate`, kill the target in the middle of it, and return the first and the last event."""
    arguments = ("generate", "--raw", "--json", "--ignore-eos", "--max-tokens", str(NUM_TOKENS))
    arguments += ("--num-draft-tokens", str(NUM_DRAFT_TOKENS), "--address", cluster.orchestrator_addresses[0])
    process = await start(runtime, *arguments, "the line of riders")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    events: list[dict[str, object]] = []
    num_tokens, victim = 0, ""
    async for line in process.stdout:
        event = json.loads(line)
        events.append(event)
        num_tokens += len(event.get("tokens", ()))
        if num_tokens >= NUM_TOKENS_BEFORE and not victim:
            victim = await owner_of(cluster, str(events[0]["session_id"]))
            await cluster.nodes[victim].kill()
    assert await process.wait() == 0
    assert victim
    await cluster.nodes[victim].start()
    return {"started": events[0], "finished": events[-1]}


async def until_received(receiver: OtlpReceiver, trace_id: str, num_rounds: int) -> Trace:
    """Wait for all that the living processes know of a trace."""
    while True:
        trace = Trace([span for span in receiver.spans if span.trace_id == trace_id])
        names = {span.name for span in trace.spans}
        has_all = {"paceline.generate", "paceline.generation", "paceline.target.round"} <= names
        if has_all and len(trace.named("paceline.round")) == num_rounds and receiver_has_passes(receiver):
            await asyncio.sleep(1.5)  # what replicas batch up comes after the orchestrator's
            return Trace([span for span in receiver.spans if span.trace_id == trace_id])
        await asyncio.sleep(0.05)


def receiver_has_passes(receiver: OtlpReceiver) -> bool:
    return any(span.name == "paceline.forward_pass" for span in receiver.spans)


def check_tree(trace: Trace, session_id: object, num_rounds: int) -> None:
    """Client, request, generation, rounds, and in each round what went to the replicas and what they did."""
    client = trace.only(None, "paceline.generate")
    assert (client.service, client.kind) == ("paceline-generate", CLIENT)
    request = trace.only(client, f"text_completion {model_of(trace)}")
    assert (request.service, request.kind) == (OF_ORCHESTRATORS, SERVER)
    generation = trace.only(request, "paceline.generation")
    assert generation.attributes["paceline.session_id"] == session_id
    assert generation.attributes["paceline.num_rounds"] == num_rounds
    assert generation.attributes["gen_ai.usage.output_tokens"] == NUM_TOKENS
    rounds = trace.children(generation, "paceline.round")
    assert [one.attributes["paceline.round"] for one in rounds] == list(range(num_rounds))
    num_replica_rounds = 0
    for one in rounds:
        verify = trace.only(one, "paceline.verify")
        trace.only(one, "paceline.commit")
        proposes = trace.children(one, "paceline.propose")
        assert len(proposes) == (one.attributes["paceline.num_wanted_tokens"] > 0)
        served = [
            *trace.children(verify, "paceline.target.round"),
            *(child for propose in proposes for child in trace.children(propose, "paceline.draft.round")),
        ]
        for replica_round in served:
            num_replica_rounds += 1
            assert replica_round.kind == SERVER
            assert replica_round.attributes["paceline.session_id"] == session_id
            names = {child.name for child in trace.children(replica_round)}
            assert names <= {"paceline.queue", "paceline.compute"}
    # A killed target takes with it what it had not sent; everything else is there.
    assert num_replica_rounds > num_rounds
    known = {span.span_id for span in trace.spans}
    assert all(span.parent_id in known for span in trace.spans if span is not client)


def model_of(trace: Trace) -> object:
    return next(
        span.attributes["gen_ai.request.model"]
        for span in trace.spans
        if "gen_ai.request.model" in span.attributes
    )


def check_sums(trace: Trace) -> None:
    """The parts of a round are its duration, and what is within it lies within its time."""
    for one in trace.named("paceline.round"):
        parts = parts_of(one)
        assert sum(parts.values()) == pytest.approx(one.seconds, abs=2e-6)
        assert all(seconds >= 0 for name, seconds in parts.items() if name != "orchestrator"), parts
        assert parts["orchestrator"] > -1e-6
        for child in trace.children(one):
            if child.service != OF_ORCHESTRATORS:
                continue  # a draft that fills its cache beside the round
            assert one.started_ns <= child.started_ns <= child.ended_ns <= one.ended_ns
        verify = trace.only(one, "paceline.verify")
        of_target = ("target_queue", "target_compute", "target_network", "failover")
        assert sum(parts.get(name, 0.0) for name in of_target) == pytest.approx(verify.seconds, abs=2e-6)
    for replica_round in trace.named("paceline.target.round"):
        children = trace.children(replica_round)
        inner = sum(child.seconds for child in children)
        assert inner <= replica_round.seconds + 1e-6
        said = replica_round.attributes
        by_name = {child.name: child.seconds for child in children}
        assert by_name["paceline.queue"] == pytest.approx(said["paceline.queue_seconds"], abs=2e-6)
        assert by_name["paceline.compute"] == pytest.approx(said["paceline.compute_seconds"], abs=2e-6)


def parts_of(round_: ReceivedSpan) -> Mapping[str, float]:
    prefix, suffix = "paceline.part.", "_seconds"
    return {
        name.removeprefix(prefix).removesuffix(suffix): value
        for name, value in round_.attributes.items()
        if name.startswith(prefix)
    }


def check_failover(trace: Trace, finished: Mapping[str, object]) -> None:
    """One round says that it moved, why, and what that took; its draft's wait does not."""
    moved = [one for one in trace.named("paceline.round") if "paceline.failover" in one.events]
    assert len(moved) == 1
    parts = parts_of(moved[0])
    recovery = finished["recovery"]
    assert isinstance(recovery, dict)
    lost = recovery["detection_seconds"] + recovery["takeover_seconds"]
    assert parts["failover"] == pytest.approx(lost, abs=1e-5)
    assert (
        moved[0].attributes["paceline.epoch"] > trace.named("paceline.round")[0].attributes["paceline.epoch"]
    )


async def check_passes(receiver: OtlpReceiver, trace: Trace) -> None:
    """Each round of a target is linked from the forward passes that served it; the killed one took its last with it."""
    [moved] = [one for one in trace.named("paceline.round") if "paceline.failover" in one.events]
    after = [one for one in trace.named("paceline.target.round") if one.started_ns > moved.ended_ns]
    assert after
    while not all(  # noqa: ASYNC110, a replica's passes come a little after its rounds
        num_links(receiver)[one.span_id] == one.attributes["paceline.num_passes"] for one in after
    ):
        await asyncio.sleep(0.1)


def num_links(receiver: OtlpReceiver) -> Mapping[str, int]:
    """How many forward passes are linked to each span."""
    links: dict[str, int] = defaultdict(int)
    for span in list(receiver.spans):
        if span.name == "paceline.forward_pass":
            assert span.parent_id == ""
            for linked in span.links:
                links[linked] += 1
    return links


async def provoke_the_rest(cluster: ChaosCluster) -> None:
    """See to it that what counts troubles has something to count."""
    request = GenerationRequest(RawPrompt("another one"), 40, ignore_eos=True)
    address = cluster.orchestrator_addresses[0]
    async with connect(address) as stranger:
        with pytest.raises(CallFailedError):
            await stranger.complete(request)
    async with connect(address, CALLER) as orchestrator:
        await asyncio.gather(orchestrator.complete(request), orchestrator.complete(request))  # one waits
        await orchestrator.complete(
            GenerationRequest(
                RawPrompt("one more"),
                150,
                ignore_eos=True,
                speculation=Speculation(SpeculationMode.ADAPTIVE, 4),
            )
        )
        await cluster.nodes["draft-0"].kill()
        degraded = await orchestrator.complete(request)
        assert degraded.summary.speculation.num_degraded_rounds
        await cluster.nodes["draft-0"].start()
        await cluster.nodes[REDIS].kill()
        with pytest.raises(CallFailedError):
            await orchestrator.complete(request)
        await cluster.nodes[REDIS].start()
        await cluster.nodes["draft-0"].until_ready()


async def get_over_http(address: str) -> None:
    async with httpx.AsyncClient() as client:
        (await client.get(f"http://{address}/openapi.json")).raise_for_status()


def received(receiver: OtlpReceiver, name: str) -> list[ReceivedMetric]:
    return [one for (_, _, known), one in receiver.metrics.items() if known == name]


async def check_metrics(receiver: OtlpReceiver) -> None:
    """Every metric of the catalogue arrives from some service, as the catalogue has it."""
    for info in CATALOGUE:
        while not (found := received(receiver, info.name)):  # noqa: ASYNC110, exporters are processes of their own
            await asyncio.sleep(0.1)
        for metric in found:
            assert (metric.unit, metric.description) == (info.unit, info.description), info.name
            assert metric.kind == KINDS[info.kind], info.name
            for labels, _ in metric.points:
                assert set(labels) == set(info.labels), info.name


@pytest.mark.timeout(180)
async def test_a_collector_sees_the_whole_of_a_failover(
    short_directory: Path, receiver: OtlpReceiver
) -> None:
    options = {"--trace-ratio": 1.0, "--speculation": "fixed", "--redis-patience-seconds": 0.5}
    options |= {"--tenants-file": write_tenants(short_directory, entry(TENANT))}
    options |= {"--max-sessions": 1, "--max-waiting-requests": 1}
    options |= {"--http-listen": f"127.0.0.1:{free_ports(1)[0]}"}
    settings = ClusterSettings(Topology(2, 1, 1), has_liar=False, orchestrator_options=options)
    async with chaos_cluster(settings, short_directory) as cluster:
        events = await generate_across_a_kill(cluster, short_directory)
        started, finished = events["started"], events["finished"]
        speculation = finished["speculation"]
        assert isinstance(speculation, dict)
        num_rounds: int = speculation["num_rounds"]
        trace = await until_received(receiver, str(started["trace_id"]), num_rounds)
        check_tree(trace, started["session_id"], num_rounds)
        check_sums(trace)
        check_failover(trace, finished)
        await check_passes(receiver, trace)
        await provoke_the_rest(cluster)
        await get_over_http(str(options["--http-listen"]))
        await check_metrics(receiver)
