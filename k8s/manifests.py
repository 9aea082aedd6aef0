"""What kustomize builds of an overlay: Kubernetes objects as plain data, and ways to walk through them."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parent
OVERLAYS = tuple(sorted(path.parent.name for path in ROOT.glob("overlays/*/kustomization.yaml")))
COMPONENTS = tuple(sorted(path.parent.name for path in ROOT.glob("components/*/kustomization.yaml")))

Manifest = Mapping[str, Any]

# The same in C, where the wheel has it: ten times as fast.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class KustomizeError(Exception):
    """An overlay could not be built; the message is kustomize's own."""


class Container(NamedTuple):
    """A container of a pod template.

    Attributes:
        owner: Kind and name of the workload.
        spec: As in the manifest.
        is_serving: Whether it runs for as long as the pod does: no init container, nor one of a job.
    """

    owner: str
    spec: Mapping[str, Any]
    is_serving: bool

    @property
    def name(self) -> str:
        """For people: `Deployment/paceline-draft container draft`."""
        return f"{self.owner} container {self.spec['name']}"


def kustomize_program() -> Sequence[str] | None:
    """Return the command that builds a folder: of this environment, else of the machine; None where there is none."""
    kubectl = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
    if kubectl is not None:
        return (kubectl, "kustomize")
    kustomize = shutil.which("kustomize")
    return None if kustomize is None else (kustomize, "build")


def build(folder: Path) -> list[Manifest]:
    """Return the objects of a folder with a kustomization. Raises KustomizeError."""
    program = kustomize_program()
    if program is None:
        raise KustomizeError("neither kubectl nor kustomize is here: make manifests-check brings one")
    done = subprocess.run([*program, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise KustomizeError(f"{folder}: {done.stderr.strip()}")
    return [one for one in yaml.load_all(done.stdout, Loader=_Loader) if one]


def build_overlay(overlay: str) -> list[Manifest]:
    """Return the objects of an overlay. Raises KustomizeError."""
    return build(ROOT / "overlays" / overlay)


def build_with_component(component: str) -> list[Manifest]:
    """Return the objects of the base with one component, for those that no overlay has. Raises KustomizeError."""
    with tempfile.TemporaryDirectory() as folder:
        # kustomize takes no absolute paths.
        kustomization = {
            "resources": [os.path.relpath(ROOT / "base", folder)],
            "components": [os.path.relpath(ROOT / "components" / component, folder)],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization), encoding="utf-8")
        return build(Path(folder))


def components_of_overlays() -> frozenset[str]:
    """Return the names of the components that overlays name themselves."""
    return frozenset(
        Path(written).name
        for overlay in OVERLAYS
        for written in read(ROOT / "overlays" / overlay / "kustomization.yaml").get("components", ())
    )


def read(path: Path) -> dict[str, Any]:
    """Return what a YAML file with one document holds."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def name_of(manifest: Manifest) -> str:
    """Return kind and name: `Deployment/paceline-draft`."""
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pod_template(manifest: Manifest) -> Mapping[str, Any] | None:
    """Return the pod template of a workload; None of anything else."""
    if manifest["kind"] in {"Deployment", "StatefulSet", "DaemonSet", "Job"}:
        return manifest["spec"]["template"]
    return None


def containers(manifest: Manifest) -> Iterator[Container]:
    """Yield the containers of a workload, init containers first."""
    template = pod_template(manifest)
    if template is None:
        return
    owner = name_of(manifest)
    for spec in template["spec"].get("initContainers", ()):
        yield Container(owner, spec, is_serving=False)
    for spec in template["spec"]["containers"]:
        yield Container(owner, spec, is_serving=manifest["kind"] != "Job")


def variables(container: Mapping[str, Any], manifests: Sequence[Manifest]) -> dict[str, str]:
    """Return the variables of a container that stand in these manifests: its own, and those of their ConfigMaps."""
    maps = {one["metadata"]["name"]: one.get("data", {}) for one in manifests if one["kind"] == "ConfigMap"}
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= maps.get(source.get("configMapRef", {}).get("name"), {})
    return found | {one["name"]: one["value"] for one in container.get("env", ()) if "value" in one}


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether a label selector selects something with these labels."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_matches(one, labels) for one in selector.get("matchExpressions", ()))


def _matches(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values", ())
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels
