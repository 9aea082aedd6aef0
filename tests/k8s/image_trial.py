"""`unshare --net python -m tests.k8s.image_trial FOLDER` runs images as an overlay's pods and generates through them.

FOLDER has each image, as an archive (NAME.tar) and unpacked (NAME), and `volume`, that of the models. What was found is
in FOLDER/report.json then; tests/k8s/test_images.py makes the one and judges the other.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from k8s.images import build
from k8s.images.archive import read_config
from k8s.manifests import Manifest, build_overlay, pod_template
from paceline.cli.benchmark.prompt_set import BenchPrompt, read_prompts
from paceline.cli.benchmark.trial import Variant, bench_request
from paceline.client.orchestrator import connect
from paceline.local.redis_server import server_program
from tests.k8s.pod_network import address_of, make_bridge, pod_namespace
from tests.k8s.pod_spec import Sandbox, runtime_spec
from tests.k8s.running_container import Confinement, RunningContainer, Stopped

OVERLAY = "local"
PROGRAMS = ("target", "draft", "orchestrator")
# The order in which they go: clients' streams end before what serves them.
STOPPING = ("orchestrator", "draft", "target")
NUMBERS = {"redis": 2, "target": 3, "draft": 4, "orchestrator": 5, "models": 6}
MAX_TOKENS = 48
# A fixed number, so that the draft proposes even where pods share their cores.
SPECULATING = Variant(4)
HealthStatus = health_pb2.HealthCheckResponse.ServingStatus


@dataclass(frozen=True)
class Answer:
    """What came of one prompt."""

    prompt: str
    token_ids: tuple[int, ...]
    text: str
    num_accepted: int


@dataclass(frozen=True)
class PodReport:
    """What one pod was like.

    Attributes:
        init_exit_codes: Of its init containers, by name.
        probe_answers: What the startup probe's call got, in order, repeats left out.
        writes: What came of writing to folders.
        resident_mib: The most that its process held.
        changed_files: Names in its root that were not there, or not so, before.
    """

    init_exit_codes: Mapping[str, int]
    probe_answers: tuple[str, ...]
    confinement: Confinement
    writes: Mapping[str, str]
    resident_mib: int
    stopped: Stopped
    changed_files: tuple[str, ...]


def prompts() -> tuple[BenchPrompt, ...]:
    """The prompts of the trial: some of each kind."""
    by_kind: dict[str, BenchPrompt] = {}
    for prompt in read_prompts("all"):
        by_kind.setdefault(prompt.kind, prompt)
    return tuple(by_kind.values())


class Cluster:
    """The pods of an overlay on this machine, as far as our images make them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self._manifests = build_overlay(OVERLAY)
        self._config_maps = {
            one["metadata"]["name"]: one["data"] for one in self._manifests if one["kind"] == "ConfigMap"
        }
        self._hosts = folder / "hosts"
        names = (f"{address_of(number)} paceline-{name}\n" for name, number in NUMBERS.items())
        self._hosts.write_text("127.0.0.1 localhost\n" + "".join(names), encoding="utf-8")

    def workload(self, kind: str, name: str) -> Manifest:
        return next(
            one
            for one in self._manifests
            if (one["kind"], one["metadata"]["name"]) == (kind, f"paceline-{name}")
        )

    def sandbox(self, kind: str, name: str) -> Sandbox:
        template = pod_template(self.workload(kind, name))
        assert template is not None
        return Sandbox(
            f"paceline-{name}-0",
            template["spec"],
            self._config_maps,
            {"paceline-models": self._folder / "volume"},
            self._stack.enter_context(pod_namespace(NUMBERS[name])),
            self._hosts,
            self._folder / "config-maps",
        )

    def start(self, sandbox: Sandbox, container: Mapping[str, Any]) -> RunningContainer:
        program = container["image"].removeprefix("paceline-").partition(":")[0]
        image = read_config(self._folder / f"{program}.tar")
        spec = runtime_spec(sandbox, container, image, self._folder / program)
        running = RunningContainer(f"{sandbox.name}-{container['name']}", spec, self._folder)
        self._stack.callback(running.kill)
        return running

    def run_init_containers(self, sandbox: Sandbox) -> dict[str, int]:
        containers = sandbox.template.get("initContainers", ())
        return {one["name"]: self.start(sandbox, one).wait() for one in containers}

    def run_job(self) -> dict[str, int]:
        """Prepare the models, with the image that is for it; returns the exit codes of its containers."""
        sandbox = self.sandbox("Job", "models")
        (last,) = sandbox.template["containers"]
        return {
            **self.run_init_containers(sandbox),
            last["name"]: self.start(sandbox, last).wait(),
        }

    @contextmanager
    def redis(self) -> Iterator[None]:
        """Run the server of this environment with the overlay's configuration; its image is not ours."""
        (config,) = [data for name, data in self._config_maps.items() if name.startswith("paceline-redis")]
        data = self._folder / "redis"
        data.mkdir()
        path = data / "redis.conf"
        path.write_text(config["redis.conf"].replace("dir /data", f"dir {data}"), encoding="utf-8")
        network = self._stack.enter_context(pod_namespace(NUMBERS["redis"]))
        command = ["nsenter", f"--net={network}", str(server_program()), str(path)]
        with (data / "log").open("w") as log:
            server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            server.terminate()
            server.wait()


def wait_until_serving(pods: Mapping[str, RunningContainer], cluster: Cluster) -> dict[str, tuple[str, ...]]:
    """Call each pod's startup probe until all have said SERVING; returns what each said on its way."""
    answers: dict[str, list[str]] = {name: [] for name in pods}
    while not all(said[-1:] == ["SERVING"] for said in answers.values()):
        for name, pod in pods.items():
            pod.require_running()
            answer = probe(cluster, name, "startupProbe")
            if answers[name][-1:] != [answer]:
                answers[name].append(answer)
        time.sleep(0.2)
    return {name: tuple(said) for name, said in answers.items()}


def probe(cluster: Cluster, name: str, kind: str) -> str:
    """Return what a probe's call gets: a status of the health protocol, or UNREACHABLE."""
    template = pod_template(cluster.workload("Deployment", name))
    assert template is not None
    (container,) = template["spec"]["containers"]
    call = container[kind]["grpc"]
    # A connection of its own each time, as a kubelet's: no back-off of an earlier one.
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"{address_of(NUMBERS[name])}:{call['port']}", options=options) as channel:
        request = health_pb2.HealthCheckRequest(service=call.get("service", ""))
        try:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            response = stub.Check(request, timeout=container[kind]["timeoutSeconds"])
        except grpc.RpcError as error:
            return "UNREACHABLE" if error.code() is grpc.StatusCode.UNAVAILABLE else error.code().name
    return HealthStatus.Name(response.status)


async def generate() -> list[Answer]:
    """Answer every prompt through the orchestrator's pod."""
    answers: list[Answer] = []
    async with connect(f"{address_of(NUMBERS['orchestrator'])}:7000") as orchestrator:
        for prompt in prompts():
            completion = await orchestrator.complete(bench_request(prompt, SPECULATING, MAX_TOKENS))
            num_accepted = completion.summary.speculation.num_accepted_tokens
            answers.append(Answer(prompt.name, completion.token_ids, completion.text, num_accepted))
    return answers


def stop(pod: RunningContainer, template: Mapping[str, Any]) -> Stopped:
    """End a pod as the kubelet does: its hook, then SIGTERM, all within its grace period."""
    (container,) = template["containers"]
    seconds = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    time.sleep(seconds)
    return pod.terminate(template["terminationGracePeriodSeconds"] - seconds)


def listing(root: Path) -> dict[str, tuple[int, int, int]]:
    """Mode, size and time of change of every file by its path."""
    found = ((path, path.lstat()) for path in root.rglob("*"))
    return {
        str(path.relative_to(root)): (one.st_mode, one.st_size, one.st_mtime_ns)
        for path, one in found
        if not path.is_dir()
    }


def run(folder: Path) -> dict[str, Any]:
    """Run the whole trial; returns the report."""
    with ExitStack() as stack:
        make_bridge()
        cluster = Cluster(folder, stack)
        for name in build.IMAGES:
            # A place for the mount; engines make one in the layer that is a container's own.
            (folder / name / "etc/hosts").touch()
        before = {name: listing(folder / name) for name in PROGRAMS}
        job = cluster.run_job()
        stack.enter_context(cluster.redis())
        sandboxes = {name: cluster.sandbox("Deployment", name) for name in PROGRAMS}
        init = {name: cluster.run_init_containers(sandbox) for name, sandbox in sandboxes.items()}
        pods = {
            name: cluster.start(sandbox, sandbox.template["containers"][0])
            for name, sandbox in sandboxes.items()
        }
        probe_answers = wait_until_serving(pods, cluster)
        answers = asyncio.run(generate())
        confinements = {name: pod.confinement() for name, pod in pods.items()}
        writes = {
            name: pod.tries_to_write("", "/etc", "/opt/paceline", "/models", "/tmp")
            for name, pod in pods.items()
        }
        resident = {name: pod.resident_mib() for name, pod in pods.items()}
        liveness = {name: probe(cluster, name, "livenessProbe") for name in pods}
        stopped = {name: stop(pods[name], sandboxes[name].template) for name in STOPPING}
        reports = {
            name: PodReport(
                init[name],
                probe_answers[name],
                confinements[name],
                writes[name],
                resident[name],
                stopped[name],
                tuple(dict(before[name].items() ^ listing(folder / name).items())),
            )
            for name in PROGRAMS
        }
        return {
            "job_exit_codes": job,
            "liveness": liveness,
            "answers": [asdict(one) for one in answers],
            "pods": {name: asdict(report) for name, report in reports.items()},
        }


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    for used in ("config-maps", "state", "redis"):
        shutil.rmtree(folder / used, ignore_errors=True)
    report = run(folder)
    (folder / "report.json").write_text(json.dumps(report, indent=2, default=sorted) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
