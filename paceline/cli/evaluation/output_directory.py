"""The directory that an evaluation fills."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from paceline.cli.evaluation.findings import Evaluation
from paceline.errors import ConfigError

_JOURNAL = "journal.jsonl"
_LOCK = ".lock"
_EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class OutputDirectory:
    """Where the journal, the findings and the reports of one evaluation lie."""

    path: Path

    @property
    def journal(self) -> Path:
        """The file of what is finished."""
        return self.path / _JOURNAL

    @property
    def evaluation(self) -> Path:
        """The file of the findings."""
        return self.path / _EVALUATION

    def write_evaluation(self, evaluation: Evaluation) -> str:
        """Write the findings, and return them as they were written."""
        document = json.dumps(evaluation.to_json(), indent=2, ensure_ascii=False)
        self.write(_EVALUATION, f"{document}\n")
        return document

    def write(self, name: str, text: str) -> Path:
        """Write a file, which is there as a whole or not at all, and return its path."""
        path, unfinished = self.path / name, self.path / f"{name}.part"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
        return path


@contextmanager
def claimed(path: Path, *, is_resumed: bool, is_forced: bool) -> Generator[OutputDirectory]:
    """Own a directory inside a `with`, made where it is missing, with a journal to go on with only if that is wanted.

    Raises ConfigError where another evaluation would be written over, or one runs there.
    """
    directory = OutputDirectory(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"--output {path}: no directory can be made there ({error})"
        raise ConfigError(message, setting="output") from error
    lock = FileLock(path / _LOCK)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError) as error:
        message = (
            f"another evaluation runs in {path}, or it cannot be written: "
            "wait for that or name another directory with --output"
        )
        raise ConfigError(message, setting="output") from error
    try:
        _prepare(directory, is_resumed=is_resumed, is_forced=is_forced)
        yield directory
    finally:
        lock.release()


def _prepare(directory: OutputDirectory, *, is_resumed: bool, is_forced: bool) -> None:
    if is_resumed:
        return
    old = [path for path in (directory.journal, directory.evaluation) if path.exists()]
    if old and not is_forced:
        message = (
            f"{directory.path} has an evaluation already: --resume goes on with it, --force replaces it, "
            "--output names another directory"
        )
        raise ConfigError(message, setting="output")
    for path in old:
        path.unlink()
