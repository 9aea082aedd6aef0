"""`python -m k8s.images.build draft target` builds images, lists what they are made of, and checks them.

`make images` runs it. Each image has its list as OUT/paceline-NAME-VERSION.cdx.json, in CycloneDX; a table says how
large they are. Packages come from where this machine's pip takes them. It exits with 1 where an image is not as it
should be.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from k8s.images.archive import read_config, unpack
from k8s.images.checking import locked_versions, problems
from k8s.images.engine import ENGINES, Engine, EngineError, ImageBuild, find_engine
from k8s.images.pip_settings import build_secrets
from k8s.images.sbom import bill_of_materials

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "k8s/images/Dockerfile"
IMAGES = ("draft", "target", "orchestrator", "models")
UNKNOWN = "unknown"
_LABEL = "org.opencontainers.image."
_MB = 1_000_000


@dataclass(frozen=True)
class Origin:
    """Where images come from.

    Attributes:
        base: NAME@sha256:DIGEST of the image that they are built on.
        source: URL of the repository.
        revision: Commit, with `-dirty` behind it where the work tree is not that.
        created: RFC 3339; the commit's time, so that the same commit says the same.
    """

    version: str
    base: str
    source: str
    revision: str
    created: str

    @property
    def labels(self) -> dict[str, str]:
        """What the Dockerfile cannot know by itself."""
        name, _, digest = self.base.partition("@")
        named = {"base.name": name, "base.digest": digest, "created": self.created}
        return {_LABEL + key: value for key, value in named.items()}

    @property
    def arguments(self) -> dict[str, str]:
        """The Dockerfile's own arguments."""
        return {
            "PYTHON_IMAGE": self.base,
            "VERSION": self.version,
            "REVISION": self.revision,
            "SOURCE": self.source,
        }


class Sizes(NamedTuple):
    """Bytes on a disk, as `du` counts them."""

    environment: int
    image: int


@dataclass(frozen=True)
class Built:
    """An image that is there, and what has been found out about it."""

    tag: str
    bill: Mapping[str, Any]
    sizes: Sizes
    problems: Sequence[str]


def main() -> None:
    """Build what the command line names; say what is wrong with it."""
    options = _parser().parse_args()
    try:
        engine = find_engine(options.engine)
        origin = origin_of(options.base or pinned_base(), options.source)
        _say(
            f"images: {engine.program}, revision {origin.revision}, source {origin.source}, base {origin.base}"
        )
        with tempfile.TemporaryDirectory(prefix="paceline-secrets-") as folder:
            secrets = build_secrets(Path(folder))
            images = [build(name, engine, origin, secrets) for name in options.images]
    except EngineError as error:
        sys.exit(f"error: {error}")
    options.out.mkdir(parents=True, exist_ok=True)
    for image in images:
        path = options.out / f"{image.tag.replace(':', '-')}.cdx.json"
        path.write_text(json.dumps(image.bill, indent=2) + "\n", encoding="utf-8")
    _say("\n".join(_table(images)))
    found = [problem for image in images for problem in image.problems]
    for problem in found:
        _say(f"error: {problem}")
    sys.exit(1 if found else 0)


def build(name: str, engine: Engine, origin: Origin, secrets: Sequence[str] = ()) -> Built:
    """Build an image, and look at what it has become. Raises EngineError."""
    title = f"paceline-{name}"
    tag = f"{title}:{origin.version}"
    engine.build(ImageBuild(DOCKERFILE, name, tag, origin.arguments, origin.labels, secrets), ROOT)
    with tempfile.TemporaryDirectory(prefix="paceline-image-") as folder:
        archive, root = Path(folder, "image.tar"), Path(folder, "root")
        engine.save(tag, archive)
        image = read_config(archive)
        unpack(archive, root)
        return Built(
            tag,
            bill_of_materials(title, image, root),
            sizes_of(root),
            problems(title, image, root, locked_versions(ROOT / "locks/serve.txt")),
        )


def pinned_base() -> str:
    """Return the base that the Dockerfile names."""
    (base,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE)
    return base


def origin_of(base: str, source: str) -> Origin:
    """Return where an image of this checkout comes from. Raises EngineError where the base has no digest."""
    if not re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", base):
        raise EngineError(f"the base {base} is not pinned: name it as NAME@sha256:DIGEST")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    commit, _, seconds = _git("log", "-1", "--format=%H %ct").partition(" ")
    changed = _git("status", "--porcelain") != ""
    moment = datetime.fromtimestamp(int(seconds), UTC) if seconds else datetime.now(UTC)
    return Origin(
        version=version,
        base=base,
        source=source or UNKNOWN,
        revision=(commit or UNKNOWN) + ("-dirty" if changed else ""),
        created=moment.isoformat(timespec="seconds").replace("+00:00", "Z"),
    )


def sizes_of(root: Path) -> Sizes:
    """Return what the files of an image take, hard links once."""
    return Sizes(_bytes_of(root / "opt/paceline"), _bytes_of(root))


def _bytes_of(folder: Path) -> int:
    blocks: dict[int, int] = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            status = Path(parent, name).lstat()
            blocks[status.st_ino] = status.st_blocks
    return 512 * sum(blocks.values())


def _table(images: Sequence[Built]) -> Iterator[str]:
    yield f"{'image':<28} {'components':>10} {'/opt/paceline':>14} {'whole image':>12}"
    for image in images:
        environment, whole = (f"{size / _MB:.0f} MB" for size in image.sizes)
        yield f"{image.tag:<28} {len(image.bill['components']):>10} {environment:>14} {whole:>12}"


def _git(*arguments: str) -> str:
    """Return what git says; nothing where there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make images", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", nargs="*", default=IMAGES, metavar="NAME", help=f"of {', '.join(IMAGES)}")
    parser.add_argument(
        "--engine", default="", help=f"one of {', '.join(ENGINES)}; else the first that works"
    )
    parser.add_argument("--base", default="", help="NAME@sha256:DIGEST in place of the Dockerfile's base")
    parser.add_argument("--source", default="", help="URL of the repository, for the label")
    parser.add_argument("--out", type=Path, default=ROOT / "build/images", help="folder for the lists")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
