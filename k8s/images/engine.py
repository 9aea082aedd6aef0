"""The program that builds images: docker, podman or buildah, which share the flags that are used here."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ENGINES = ("docker", "podman", "buildah")


class EngineError(Exception):
    """No engine can be used, or one has failed; what it said is on the terminal."""


@dataclass(frozen=True)
class ImageBuild:
    """What is built: a target of a Dockerfile.

    Attributes:
        secrets: `id=pip.conf,src=FILE`, as the engines have it: files that the build sees and the image does not.
    """

    dockerfile: Path
    target: str
    tag: str
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Sequence[str] = ()


@dataclass(frozen=True)
class Engine:
    """One of ENGINES."""

    program: str

    def build(self, build: ImageBuild, context: Path) -> None:
        """Build an image and tag it. Raises EngineError."""
        # Docker and podman keep layers, so that the images share the environment that they are cut from.
        layers = ("--layers",) if self.program == "buildah" else ()
        self._run(
            "build",
            *layers,
            f"--file={build.dockerfile}",
            f"--target={build.target}",
            f"--tag={build.tag}",
            *(f"--build-arg={name}={value}" for name, value in build.arguments.items()),
            *(f"--label={name}={value}" for name, value in build.labels.items()),
            *(f"--secret={secret}" for secret in build.secrets),
            str(context),
        )

    def save(self, tag: str, path: Path) -> None:
        """Write an image into an archive that `archive` reads. Raises EngineError."""
        match self.program:
            case "buildah":
                self._run("push", "--quiet", tag, f"docker-archive:{path}:{tag}")
            case "podman":
                self._run("save", "--quiet", "--format", "docker-archive", "--output", str(path), tag)
            case _:
                self._run("save", "--output", str(path), tag)

    def _run(self, *arguments: str) -> None:
        if subprocess.run([self.program, *arguments], check=False).returncode != 0:
            raise EngineError(f"{self.program} {arguments[0]} failed")


def find_engine(wanted: str = "") -> Engine:
    """Return the engine that is wanted, else the first that works here. Raises EngineError."""
    for program in (wanted,) if wanted else ENGINES:
        # A client without its daemon is no engine.
        if shutil.which(program) and _answers(program):
            return Engine(program)
    raise EngineError(f"{wanted or 'none of ' + ', '.join(ENGINES)} works here: `ENGINE info` says why")


def _answers(program: str) -> bool:
    return subprocess.run([program, "info"], capture_output=True, check=False).returncode == 0
