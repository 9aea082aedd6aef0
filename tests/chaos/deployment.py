"""What the manifests in k8s/ say of the pods of a program and of replacing them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import yaml

from k8s.manifests import ROOT, Manifest, build_overlay, read

BASE = "base"
_DEFAULT_PROBE = {"periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3}  # Kubernetes' own


@dataclass(frozen=True)
class Probe:
    """A probe that asks a gRPC service for its health; an empty `service` is that of the whole server."""

    port: int
    service: str
    period_seconds: float
    timeout_seconds: float
    failure_threshold: int

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Self:
        """Return the probe of a container."""
        numbers = {**_DEFAULT_PROBE, **written}
        grpc = written["grpc"]
        return cls(
            grpc["port"],
            grpc.get("service", ""),
            numbers["periodSeconds"],
            numbers["timeoutSeconds"],
            numbers["failureThreshold"],
        )


@dataclass(frozen=True)
class Deployment:
    """The pods of one program.

    Attributes:
        name: For example paceline-target.
        num_replicas: How many pods.
        max_surge: How many more there may be in a rolling update.
        max_unavailable: How many fewer may be available in it.
        min_ready_seconds: How long a pod is ready before it counts as available.
        grace_seconds: From the order to end until SIGKILL, the preStop hook included.
        pre_stop_seconds: What the preStop hook waits before SIGTERM.
        startup: Has to succeed once before the pod can be ready.
        readiness: Says whether it is ready.
        environment: From its ConfigMaps.
        service_port: The port of its Service.
        has_name_for_each: Whether the Service is headless, so that its name resolves to every pod.
        lists_unready: Whether the Service has pods that start or end too.
    """

    name: str
    num_replicas: int
    max_surge: int
    max_unavailable: int
    min_ready_seconds: float
    grace_seconds: float
    pre_stop_seconds: float
    startup: Probe
    readiness: Probe
    environment: Mapping[str, str]
    service_port: int
    has_name_for_each: bool
    lists_unready: bool

    @classmethod
    def of(cls, name: str, manifests: Sequence[Manifest]) -> Self:
        """Return the Deployment of a name, with its Service and its ConfigMaps."""
        spec = _one(manifests, "Deployment", name)["spec"]
        service = _one(manifests, "Service", name)["spec"]
        pod = spec["template"]["spec"]
        (container,) = pod["containers"]
        rolling = spec["strategy"]["rollingUpdate"]
        [port] = [one for one in service["ports"] if one["name"] == "grpc"]
        hook = container.get("lifecycle", {}).get("preStop", {"sleep": {"seconds": 0}})
        return cls(
            name,
            spec.get("replicas", 1),
            rolling["maxSurge"],
            rolling["maxUnavailable"],
            spec.get("minReadySeconds", 0),
            pod["terminationGracePeriodSeconds"],
            hook["sleep"]["seconds"],
            Probe.of(container["startupProbe"]),
            Probe.of(container["readinessProbe"]),
            dict(_environment(container, manifests)),
            port["port"],
            service.get("clusterIP") == "None",
            service.get("publishNotReadyAddresses", False),
        )

    def with_shorter_waits(self, scale: float) -> "Deployment":
        """Return it with its waits, those that only pass time, so many times as long; limits stay as they are."""
        return replace(
            self,
            min_ready_seconds=scale * self.min_ready_seconds,
            pre_stop_seconds=scale * self.pre_stop_seconds,
            startup=replace(self.startup, period_seconds=scale * self.startup.period_seconds),
            readiness=replace(self.readiness, period_seconds=scale * self.readiness.period_seconds),
        )


def manifests_of(overlay: str) -> list[Manifest]:
    """Return the manifests of an overlay, or of the base; raises KustomizeError where kustomize is needed and missing.

    The base needs none: its files are as they are, and its ConfigMaps are lines of other files.
    """
    return list(_base()) if overlay == BASE else build_overlay(overlay)


def _base() -> Iterator[Manifest]:
    folder = ROOT / BASE
    kustomization = read(folder / "kustomization.yaml")
    for path in kustomization["resources"]:
        yield from filter(None, yaml.safe_load_all((folder / path).read_text(encoding="utf-8")))
    for generator in kustomization["configMapGenerator"]:
        lines = [
            line for path in generator.get("envs", ()) for line in (folder / path).read_text().splitlines()
        ]
        data = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
        yield {"kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}


def _environment(container: Mapping[str, Any], manifests: Sequence[Manifest]) -> Iterator[tuple[str, str]]:
    for source in container["envFrom"]:
        yield from _one(manifests, "ConfigMap", source["configMapRef"]["name"])["data"].items()


def _one(manifests: Sequence[Any], kind: str, name: str) -> Any:
    found = [one for one in manifests if one["kind"] == kind and one["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind}/{name}: {len(found)} of them"
    return found[0]
