"""What kustomize makes of the manifests, and what a program reads of it."""

from functools import cache
from pathlib import Path

import pytest
import yaml

from draft_service.config import DraftConfig
from k8s.manifests import (
    OVERLAYS,
    Container,
    Manifest,
    build_overlay,
    containers,
    kustomize_program,
    name_of,
    pod_template,
)
from orchestrator.config import OrchestratorConfig
from paceline.serving.config import ServiceConfig
from target_service.config import TargetConfig

CONFIGS: dict[str, type[ServiceConfig]] = {
    "target": TargetConfig,
    "draft": DraftConfig,
    "orchestrator": OrchestratorConfig,
}
# The same in C, where the wheel has it: ten times as fast.
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Those that others than their owner reach.
SECURED = tuple(overlay for overlay in OVERLAYS if overlay != "local")


def written(folder: Path) -> list[Manifest]:
    """The objects in a folder's files, before kustomize."""
    paths = sorted(path for path in folder.glob("*.yaml") if path.name != "kustomization.yaml")
    documents = [one for path in paths for one in yaml.load_all(path.read_text(encoding="utf-8"), Loader)]
    return [one for one in documents if "kind" in one]


def built(overlay: str) -> list[Manifest]:
    if kustomize_program() is None:
        pytest.skip("neither kubectl nor kustomize is installed: make manifests-check brings kubectl")
    return _built(overlay)


@cache
def _built(overlay: str) -> list[Manifest]:
    return build_overlay(overlay)


def named(manifests: list[Manifest], name: str) -> Manifest:
    return next(manifest for manifest in manifests if name_of(manifest) == name)


def serving_container(program: str, manifests: list[Manifest]) -> Container:
    deployment = named(manifests, f"Deployment/paceline-{program}")
    return next(container for container in containers(deployment) if container.is_serving)


def variables_of(manifests: list[Manifest], program: str) -> dict[str, str]:
    """The environment of a program in an overlay, as far as the overlay knows it."""
    container = serving_container(program, manifests).spec
    maps = {
        manifest["metadata"]["name"]: manifest["data"]
        for manifest in manifests
        if manifest["kind"] == "ConfigMap"
    }
    variables: dict[str, str] = {}
    for source in container["envFrom"]:
        variables |= maps[source["configMapRef"]["name"]]
    for variable in container["env"]:
        source = variable["valueFrom"]
        if "configMapKeyRef" in source:
            reference = source["configMapKeyRef"]
            variables[variable["name"]] = maps[reference["name"]][reference["key"]]
        elif "resourceFieldRef" in source:
            variables[variable["name"]] = container["resources"]["limits"]["cpu"]
        else:  # the pod's name, or a secret
            variables[variable["name"]] = (
                "redis://redis:6379" if variable["name"].endswith("_URL") else "pod-0"
            )
    return variables


def mounted_secrets(manifests: list[Manifest], program: str) -> dict[str, str]:
    """The Secrets that a program's container has, by the path at which it has them."""
    template = pod_template(named(manifests, f"Deployment/paceline-{program}"))
    assert template is not None
    secrets = {
        volume["name"]: volume["secret"]["secretName"]
        for volume in template["spec"]["volumes"]
        if "secret" in volume
    }
    mounts = serving_container(program, manifests).spec["volumeMounts"]
    return {one["mountPath"]: secrets[one["name"]] for one in mounts if one["name"] in secrets}


def config_of(manifests: list[Manifest], program: str, monkeypatch: pytest.MonkeyPatch) -> ServiceConfig:
    """The configuration that a program reads in an overlay; raises where it refuses it."""
    for name, value in variables_of(manifests, program).items():
        monkeypatch.setenv(name, value)
    return CONFIGS[program]()  # pyright: ignore[reportCallIssue], from the environment
