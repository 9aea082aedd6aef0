"""What a runtime is told of a container in a pod: the manifest's words in those of the OCI runtime specification.

Only what our manifests use; anything else is refused, so that nothing is left out unseen.
"""

import json
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k8s.images.archive import ImageConfig

Json = dict[str, Any]

# The profile that Kubernetes calls RuntimeDefault, as podman, buildah and CRI-O install it.
SECCOMP_PROFILE = Path("/usr/share/containers/seccomp.json")
# What containerd and CRI-O hide of /proc and /sys, and what they make read-only.
MASKED = ("acpi", "kcore", "keys", "latency_stats", "sched_debug", "scsi", "timer_list", "timer_stats")
READ_ONLY = ("bus", "fs", "irq", "sys", "sysrq-trigger")
NAMESPACES = ("pid", "ipc", "uts", "mount")
CPU_PERIOD_US = 100_000  # the kubelet's
UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}


@dataclass(frozen=True)
class Sandbox:
    """What the containers of one pod share.

    Attributes:
        template: Its specification in the manifest.
        config_maps: Data of each ConfigMap by name.
        claims: Folder of this machine for each PersistentVolumeClaim.
        network: Path of its network namespace.
        hosts: File with the names that cluster DNS would know.
        folder: Where files that it mounts can be written.
    """

    name: str
    template: Mapping[str, Any]
    config_maps: Mapping[str, Mapping[str, str]]
    claims: Mapping[str, Path]
    network: str
    hosts: Path
    folder: Path


def runtime_spec(
    sandbox: Sandbox, container: Mapping[str, Any], image: ImageConfig, root: Path
) -> dict[str, Any]:
    """Return the config.json of a container whose image lies unpacked in `root`."""
    pod, confined = sandbox.template["securityContext"], container["securityContext"]
    assert confined["capabilities"] == {"drop": ["ALL"]}
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    variables = environment(sandbox, container)
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {
                "uid": pod["runAsUser"],
                "gid": pod["runAsGroup"],
                "additionalGids": [pod["fsGroup"]] if "fsGroup" in pod else [],
            },
            "args": [expanded(one, variables) for one in command_line(container, image)],
            "env": [f"{name}={value}" for name, value in {**image.environment, **variables}.items()],
            "cwd": image.working_directory,
            "noNewPrivileges": not confined["allowPrivilegeEscalation"],
        },
        "root": {"path": str(root), "readonly": confined["readOnlyRootFilesystem"]},
        "hostname": sandbox.name,
        "mounts": [*system_mounts(sandbox.hosts), *volume_mounts(sandbox, container)],
        "linux": {
            "namespaces": [
                *({"type": kind} for kind in NAMESPACES),
                {"type": "network", "path": sandbox.network},
            ],
            "seccomp": seccomp(),
            "maskedPaths": [*(f"/proc/{name}" for name in MASKED), "/sys/firmware"],
            "readonlyPaths": [f"/proc/{name}" for name in READ_ONLY],
            "resources": limits(container["resources"]["limits"]),
        },
    }


def environment(sandbox: Sandbox, container: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that the kubelet would set."""
    variables: dict[str, str] = {"HOSTNAME": sandbox.name}
    for source in container.get("envFrom", ()):
        variables |= sandbox.config_maps[source["configMapRef"]["name"]]
    for variable in container.get("env", ()):
        variables[variable["name"]] = variable_value(sandbox, container, variable)
    return variables


def variable_value(sandbox: Sandbox, container: Mapping[str, Any], variable: Mapping[str, Any]) -> str:
    """Return the value of a variable, given or looked up."""
    match variable:
        case {"value": value}:
            return value
        case {"valueFrom": {"configMapKeyRef": reference}}:
            return sandbox.config_maps[reference["name"]][reference["key"]]
        case {"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}:
            return sandbox.name
        case {"valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}:
            return container["resources"]["limits"]["cpu"]
        case _:
            raise NotImplementedError(variable)


def command_line(container: Mapping[str, Any], image: ImageConfig) -> Sequence[str]:
    """Return the program and its arguments: `command` stands for the image's entry point, `args` come behind."""
    return [*container.get("command", image.entrypoint), *container.get("args", ())]


def expanded(argument: str, variables: Mapping[str, str]) -> str:
    """Return an argument with $(NAME) replaced, as the kubelet does it."""
    return re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], argument)


def system_mounts(hosts: Path) -> Iterator[Json]:
    """Yield what every container has."""
    yield mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev")
    yield mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k")
    yield mount(
        "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"
    )
    yield mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k")
    yield mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro")
    yield mount("/etc/hosts", "bind", str(hosts), "bind", "ro")


def volume_mounts(sandbox: Sandbox, container: Mapping[str, Any]) -> Iterator[Json]:
    """Yield the volumes of a pod where a container mounts them."""
    volumes = {volume["name"]: volume for volume in sandbox.template["volumes"]}
    for wanted in container.get("volumeMounts", ()):
        path, access = wanted["mountPath"], "ro" if wanted.get("readOnly") else "rw"
        match volumes[wanted["name"]]:
            case {"persistentVolumeClaim": {"claimName": claim}}:
                yield mount(path, "bind", str(sandbox.claims[claim]), "rbind", access)
            case {"configMap": {"name": name}}:
                yield mount(path, "bind", str(written(sandbox, name)), "rbind", access)
            case {"emptyDir": {"sizeLimit": size}}:
                yield mount(path, "tmpfs", "tmpfs", "nosuid", "nodev", "mode=1777", f"size={num_bytes(size)}")
            case other:
                raise NotImplementedError(other)


def written(sandbox: Sandbox, config_map: str) -> Path:
    """Write a ConfigMap's data as files, and return their folder."""
    folder = sandbox.folder / config_map
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in sandbox.config_maps[config_map].items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def mount(destination: str, kind: str, source: str, *options: str) -> Json:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def limits(wanted: Mapping[str, str]) -> Json:
    """Return the limits that the kernel holds a container to; with that of its memory there is no swapping."""
    memory = num_bytes(wanted["memory"])
    found: Json = {"memory": {"limit": memory, "swap": memory}}
    if cpu := wanted.get("cpu"):
        cores = int(cpu[:-1]) / 1000 if cpu.endswith("m") else int(cpu)
        found["cpu"] = {"quota": int(cores * CPU_PERIOD_US), "period": CPU_PERIOD_US}
    return found


def num_bytes(quantity: str) -> int:
    """Return a quantity of memory: 64Mi is 67108864."""
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def seccomp() -> Json:
    """Return the default profile as it is without capabilities; a rule that is for those or another machine goes."""
    profile = json.loads(SECCOMP_PROFILE.read_text(encoding="utf-8"))
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]

    def applies(rule: Mapping[str, Any]) -> bool:
        included, excluded = rule.get("includes") or {}, rule.get("excludes") or {}
        architectures = included.get("arches")
        return not (
            included.get("caps")
            or (architectures and machine not in architectures)
            or machine in (excluded.get("arches") or ())
        )

    kept = ("names", "action", "args", "errnoRet")
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
        "architectures": [
            one
            for row in profile["archMap"]
            for one in (row["architecture"], *(row.get("subArchitectures") or ()))
            if machine in row["architecture"].lower().replace("x86_64", "amd64").replace("aarch64", "arm64")
        ],
        "syscalls": [
            {key: rule[key] for key in kept if rule.get(key)} for rule in profile["syscalls"] if applies(rule)
        ],
    }
