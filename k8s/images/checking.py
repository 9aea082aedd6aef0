"""What must hold of an image before it leaves the machine that built it."""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.utils import canonicalize_name

from k8s.images.archive import ImageConfig
from k8s.images.sbom import python_packages

USER = "65532:65532"
# By their names in the OCI image specification, all below org.opencontainers.image.
LABELS = (
    "base.digest",
    "base.name",
    "created",
    "description",
    "licenses",
    "revision",
    "source",
    "title",
    "vendor",
    "version",
)
_LABEL = "org.opencontainers.image."
# Preparing models of the hub needs them, serving does not.
_TRAINING = re.compile(r"torch|transformers|optimum|nncf|nvidia|cuda|triton")
# Ours, and pip where the image has it to fetch models.
_NOT_LOCKED = {"paceline", "pip", "setuptools"}
# Settings of the machine that builds: they belong to no image.
_OF_THE_BUILDER = re.compile(r"^(PIP|UV)_|_INDEX|PROXY$|TOKEN|PASSWORD", re.IGNORECASE)
_SETTINGS_FILES = (
    "etc/pip.conf",
    "etc/xdg/pip",
    "root/.config/pip",
    "root/.pip",
    "root/.netrc",
    "run/secrets",
)
_ENVIRONMENT = "opt/paceline"


def problems(title: str, image: ImageConfig, root: Path, locked: Mapping[str, set[str]]) -> list[str]:
    """Return what is wrong with an image whose files lie in `root`; `locked` has the versions of a lock by name."""
    found = (
        *_wrong_configuration(title, image),
        *_wrong_packages(root, locked),
        *_settings_of_the_builder(image, root),
        *_writable(root),
    )
    return [f"{title}: {one}" for one in found]


def locked_versions(lock: Path) -> dict[str, set[str]]:
    """Return the versions in a lock file by package; some have one for each version of Python."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([\w.-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), re.MULTILINE
    ):
        versions.setdefault(canonicalize_name(name), set()).add(version)
    return versions


def _wrong_configuration(title: str, image: ImageConfig) -> Iterator[str]:
    if image.user != USER:
        yield f"runs as {image.user or 'root'} and not as {USER}"
    labels = {name: image.labels.get(_LABEL + name, "") for name in LABELS}
    yield from (f"has no label {_LABEL}{name}" for name, value in labels.items() if not value)
    if labels["title"] != title:
        yield f"is called {labels['title']!r}"
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", labels["base.digest"]):
        yield f"names its base by {labels['base.digest']!r}, which is no digest"


def _wrong_packages(root: Path, locked: Mapping[str, set[str]]) -> Iterator[str]:
    for package in python_packages(root):
        name = str(canonicalize_name(package.name))
        is_ours = Path(str(package.locate_file(""))).is_relative_to(root / _ENVIRONMENT)
        if _TRAINING.match(name):
            yield f"has {name}, which serving does not need"
        elif is_ours and name not in _NOT_LOCKED and package.version not in locked.get(name, ()):
            yield f"has {name} {package.version}, which is not locked"


def _settings_of_the_builder(image: ImageConfig, root: Path) -> Iterator[str]:
    for name in image.environment:
        if _OF_THE_BUILDER.search(name):
            yield f"has the variable {name} of the machine that built it"
    for name in _SETTINGS_FILES:
        path = root / name
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            yield f"has the file {name} of the machine that built it"
    for step in image.history:
        if re.search(r"--(extra-)?index-url|--find-links|--trusted-host", step):
            yield f"shows a package index in its history: {step}"


def _writable(root: Path) -> Iterator[str]:
    """Yield what the user of the image could change if its filesystem were not mounted read-only."""
    uid = int(USER.partition(":")[0])
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            status = path.lstat()
            is_shared = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX  # as /tmp is
            is_open = status.st_mode & stat.S_IWOTH and not stat.S_ISLNK(status.st_mode) and not is_shared
            if status.st_uid == uid or (is_open and not stat.S_ISCHR(status.st_mode)):
                yield f"lets its user write to /{path.relative_to(root)}"
