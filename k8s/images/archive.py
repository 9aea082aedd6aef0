"""An image as an archive, in the form that docker, podman and buildah all write: its configuration and its files."""

import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


@dataclass(frozen=True)
class ImageConfig:
    """What an image says of itself, by the OCI image specification.

    Attributes:
        image_id: SHA-256 of the configuration in the archive, in hexadecimal; another form of the image has another.
        history: The instructions that made it, as the engine noted them.
    """

    image_id: str
    user: str
    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    working_directory: str
    history: tuple[str, ...]


def read_config(path: Path) -> ImageConfig:
    """Return the configuration of the image in an archive."""
    with tarfile.open(path) as archive:
        name = _manifest(archive)["Config"]
        written = json.loads(_read(archive, name))
    config = written["config"]
    return ImageConfig(
        image_id=Path(name).stem,
        user=config.get("User", ""),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        environment=dict(line.split("=", 1) for line in config.get("Env") or ()),
        labels=config.get("Labels") or {},
        working_directory=config.get("WorkingDir") or "/",
        history=tuple(one.get("created_by", "") for one in written.get("history", ())),
    )


class OutsideFolderError(tarfile.TarError):
    """A file of an image would lie outside of the folder that it is unpacked into."""


def unpack(path: Path, folder: Path) -> None:
    """Lay the files of the image in an archive into a folder, layer over layer; with owners where we are root."""
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path) as archive:
        for name in _manifest(archive)["Layers"]:
            with tarfile.open(fileobj=archive.extractfile(name)) as layer:
                _apply(layer, folder)


def _apply(layer: tarfile.TarFile, folder: Path) -> None:
    members = layer.getmembers()
    # What a layer removes is of the layers below, wherever its marks stand among its files.
    for member in members:
        place = _place(folder, member)
        if place.name == _OPAQUE:
            for child in place.parent.iterdir():
                _remove(child)
        elif place.name.startswith(_WHITEOUT):
            _remove(place.with_name(place.name.removeprefix(_WHITEOUT)))
    # tarfile's own filters would change modes and refuse links to absolute paths, which are of the image's own root.
    # Pythons before 3.11.4 have none.
    layer.extraction_filter = getattr(tarfile, "fully_trusted_filter", None)
    layer.extractall(folder, _replacing(members, folder), numeric_owner=True)  # noqa: S202, none leaves the folder


def _replacing(members: list[tarfile.TarInfo], folder: Path) -> Iterator[tarfile.TarInfo]:
    """Yield what is to be extracted, each when its place is free: a write would go through a link that lies there."""
    for member in members:
        place = _place(folder, member)
        if place.name.startswith(_WHITEOUT):
            continue
        if not (member.isdir() and place.is_dir() and not place.is_symlink()):
            _remove(place)
        yield member


def _place(folder: Path, member: tarfile.TarInfo) -> Path:
    """Return where a member goes; no link of the image leads out of the folder."""
    place = folder / member.name
    parent = place.parent.resolve()
    if not parent.is_relative_to(folder.resolve()):
        raise OutsideFolderError(f"{member.name!r} would be extracted to {parent}, outside of the folder")
    return place


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _manifest(archive: tarfile.TarFile) -> Mapping[str, Any]:
    (manifest,) = json.loads(_read(archive, "manifest.json"))
    return manifest


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()
