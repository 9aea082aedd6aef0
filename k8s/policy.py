"""What we ask of every pod beyond Kubernetes' own schemas. What is meant otherwise is written down in exceptions.yaml.

The rules include those of the Pod Security level "restricted".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from k8s.manifests import Container, Manifest, containers, name_of, pod_template, read, selects, variables

EXCEPTIONS = Path(__file__).parent / "exceptions.yaml"
_RESTRICTED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "name",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
# The name of the port at which our programs are called.
_SERVED_PORT = "grpc"
# All names begin with nothing.
_EVERYWHERE = ("",)
_CERTIFICATE_SETTINGS = ("_TLS_CERTIFICATE_FILE", "_TLS_KEY_FILE", "_TLS_CA_FILE")


class Finding(NamedTuple):
    """A rule that something breaks.

    Attributes:
        rule: Name of the rule.
        subject: Kind and name of the object, and of the container where it is about one.
        message: What is wrong.
    """

    rule: str
    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.message} [{self.rule}]"


class PolicyException(NamedTuple):
    """A finding that is meant, and why.

    Attributes:
        rule: As in the finding.
        subject: As in the finding.
        reason: Why it is meant.
        places: Where it is meant: beginnings of the names of what is built, for example "overlays/local";
            everywhere if left out.
    """

    rule: str
    subject: str
    reason: str
    places: tuple[str, ...] = _EVERYWHERE


def exceptions() -> tuple[PolicyException, ...]:
    """Return what is written down."""
    return tuple(
        PolicyException(one["rule"], one["subject"], one["reason"], tuple(one.get("places", _EVERYWHERE)))
        for one in read(EXCEPTIONS)["exceptions"]
    )


def findings(manifests: Sequence[Manifest]) -> list[Finding]:
    """Return what breaks a rule in an overlay, exceptions included."""
    found: list[Finding] = []
    for manifest in manifests:
        for container in containers(manifest):
            for rule, broken in CONTAINER_RULES.items():
                found += (Finding(rule, container.name, message) for message in broken(container))
        if (template := pod_template(manifest)) is not None:
            for rule, broken in _POD_RULES.items():
                found += (
                    Finding(rule, name_of(manifest), message) for message in broken(template, manifests)
                )
        found += _open_egress(manifest)
        found += _mounted_tokens(manifest)
        found += _written_secrets(manifest)
    return found


def unexcused(found: Iterable[Finding], excuses: Sequence[PolicyException], place: str) -> list[Finding]:
    """Return the findings in a place that no exception is written for."""
    pardoned = {(one.rule, one.subject) for one in excuses if place.startswith(one.places)}
    return [one for one in found if (one.rule, one.subject) not in pardoned]


def unused(
    found: Mapping[str, Sequence[Finding]], excuses: Sequence[PolicyException]
) -> list[PolicyException]:
    """Return the exceptions that nothing needs any more in one of their places; findings are by place."""
    needed = [(place, (one.rule, one.subject)) for place, findings in found.items() for one in findings]

    def is_needed(excuse: PolicyException, beginning: str) -> bool:
        wanted = (excuse.rule, excuse.subject)
        return any(place.startswith(beginning) and one == wanted for place, one in needed)

    return [one for one in excuses if not all(is_needed(one, beginning) for beginning in one.places)]


# Rules for a container.


def _not_confined(container: Container) -> Iterator[str]:
    context = container.spec.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if context.get("privileged"):
        yield "it is privileged"
    if context.get("capabilities", {}).get("drop") != ["ALL"] or context["capabilities"].get("add"):
        yield "it keeps capabilities"
    if context.get("runAsNonRoot") is False or context.get("runAsUser") == 0:
        yield "it runs as root"


def _writable_root(container: Container) -> Iterator[str]:
    if container.spec.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
        yield "its root filesystem is not read-only"


def _missing_resources(container: Container) -> Iterator[str]:
    resources = container.spec.get("resources", {})
    for kind, name in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
        if name not in resources.get(kind, {}):
            yield f"it has no {kind}.{name}"


def _missing_probes(container: Container) -> Iterator[str]:
    if container.is_serving:
        yield from (f"it has no {probe}" for probe in _PROBES if probe not in container.spec)


def _loose_image(container: Container) -> Iterator[str]:
    image: str = container.spec["image"]
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    if not digest and tag in {"", "latest"}:
        yield f"{image} has neither a digest nor a tag that says a version"


def _host_port(container: Container) -> Iterator[str]:
    if any("hostPort" in port for port in container.spec.get("ports", ())):
        yield "it takes a port of its node"


def _secret_in_environment(container: Container) -> Iterator[str]:
    for variable in container.spec.get("env", ()):
        if "secretKeyRef" in variable.get("valueFrom", {}):
            yield f"{variable['name']} has a secret, which every process that it starts inherits: mount it as a file"
    if any("secretRef" in source for source in container.spec.get("envFrom", ())):
        yield "its environment has a whole Secret: mount it as files"


def _single_files(container: Container) -> Iterator[str]:
    for mount in container.spec.get("volumeMounts", ()):
        if mount.keys() & {"subPath", "subPathExpr"}:
            yield f"what it mounts at {mount['mountPath']} is a part of a volume, which no kubelet renews"


CONTAINER_RULES: Mapping[str, Callable[[Container], Iterator[str]]] = {
    "confined": _not_confined,
    "read-only-root": _writable_root,
    "resources": _missing_resources,
    "probes": _missing_probes,
    "image-version": _loose_image,
    "host-port": _host_port,
    "secret-in-environment": _secret_in_environment,
    "renewed-files": _single_files,
}

# Rules for a pod.


def _loose_pod(template: Mapping[str, Any], _: Sequence[Manifest]) -> Iterator[str]:
    spec = template["spec"]
    context = spec.get("securityContext", {})
    if context.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if not context.get("runAsUser"):
        yield "it has no user by number"
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "its seccomp profile is not RuntimeDefault"
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{name} is set"
    for volume in spec.get("volumes", ()):
        if kinds := volume.keys() - _RESTRICTED_VOLUMES:
            yield f"its volume {volume['name']} is a {', '.join(sorted(kinds))}"


def _token(template: Mapping[str, Any], _: Sequence[Manifest]) -> Iterator[str]:
    spec = template["spec"]
    if spec.get("automountServiceAccountToken") is not False:
        yield "it mounts the token of its ServiceAccount"
    if spec.get("serviceAccountName", "default") == "default":
        yield "it has no ServiceAccount of its own"


def _service_links(template: Mapping[str, Any], _: Sequence[Manifest]) -> Iterator[str]:
    # The variables of a Service called paceline-orchestrator begin like our settings do.
    if template["spec"].get("enableServiceLinks") is not False:
        yield "enableServiceLinks is not false"


def _no_budget(template: Mapping[str, Any], manifests: Sequence[Manifest]) -> Iterator[str]:
    if template["spec"].get("restartPolicy", "Always") != "Always":
        return
    labels = template["metadata"]["labels"]
    budgets = [one for one in manifests if one["kind"] == "PodDisruptionBudget"]
    if not any(selects(one["spec"]["selector"], labels) for one in budgets):
        yield "no PodDisruptionBudget selects it"


def _no_priority(template: Mapping[str, Any], manifests: Sequence[Manifest]) -> Iterator[str]:
    if template["spec"].get("restartPolicy", "Always") != "Always":
        return
    classes = {one["metadata"]["name"] for one in manifests if one["kind"] == "PriorityClass"}
    if template["spec"].get("priorityClassName") not in classes:
        yield "its PriorityClass is not there"


def _no_network_policy(template: Mapping[str, Any], manifests: Sequence[Manifest]) -> Iterator[str]:
    labels = template["metadata"]["labels"]
    policies = [one["spec"] for one in manifests if one["kind"] == "NetworkPolicy"]
    if {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} not in policies:
        yield "what no NetworkPolicy allows is not denied"
    if not any(one["podSelector"] and selects(one["podSelector"], labels) for one in policies):
        yield "no NetworkPolicy of its own selects it"


def _plain_text(template: Mapping[str, Any], manifests: Sequence[Manifest]) -> Iterator[str]:
    for container in _called(template):
        given = _files_of_secrets(container, template, manifests)
        for setting in _CERTIFICATE_SETTINGS:
            if not any(name.endswith(setting) for name in given):
                yield f"its container {container['name']} has no *{setting} in a Secret: it takes plain text"


def _open_to_everybody(template: Mapping[str, Any], manifests: Sequence[Manifest]) -> Iterator[str]:
    for container in _called(template):
        knows_keys = any(
            name.endswith("_TENANTS_FILE") for name in _files_of_secrets(container, template, manifests)
        )
        knows_names = any(
            name.endswith("_TLS_PEER_NAMES") and value
            for name, value in variables(container, manifests).items()
        )
        if not (knows_keys or knows_names):
            yield f"its container {container['name']} asks callers for neither a key nor a certificate of a name"


def _called(template: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the containers that others call."""
    for container in template["spec"]["containers"]:
        if any(port.get("name") == _SERVED_PORT for port in container.get("ports", ())):
            yield container


def _files_of_secrets(
    container: Mapping[str, Any], template: Mapping[str, Any], manifests: Sequence[Manifest]
) -> set[str]:
    """Return the variables of a container that name a file of a Secret which it mounts."""
    secrets = {volume["name"] for volume in template["spec"].get("volumes", ()) if "secret" in volume}
    folders = [one["mountPath"] for one in container.get("volumeMounts", ()) if one["name"] in secrets]
    return {
        name
        for name, value in variables(container, manifests).items()
        if any(PurePosixPath(value).is_relative_to(folder) for folder in folders)
    }


_POD_RULES: Mapping[str, Callable[[Mapping[str, Any], Sequence[Manifest]], Iterator[str]]] = {
    "restricted-pod": _loose_pod,
    "token": _token,
    "service-links": _service_links,
    "disruption-budget": _no_budget,
    "priority": _no_priority,
    "network-policy": _no_network_policy,
    "encrypted": _plain_text,
    "authenticated": _open_to_everybody,
}

# Rules for other objects.


def _open_egress(manifest: Manifest) -> Iterator[Finding]:
    if manifest["kind"] != "NetworkPolicy":
        return
    for rule in manifest["spec"].get("egress", ()):
        if not rule.get("to"):
            ports = ", ".join(str(one["port"]) for one in rule.get("ports", ())) or "any"
            yield Finding("open-egress", name_of(manifest), f"lets pods reach every address at port {ports}")


def _mounted_tokens(manifest: Manifest) -> Iterator[Finding]:
    if manifest["kind"] == "ServiceAccount" and manifest.get("automountServiceAccountToken") is not False:
        yield Finding("token", name_of(manifest), "its token is mounted where a pod does not say otherwise")


def _written_secrets(manifest: Manifest) -> Iterator[Finding]:
    if manifest["kind"] == "Secret":
        yield Finding(
            "written-secret", name_of(manifest), "a secret is written down where everybody reads it"
        )
