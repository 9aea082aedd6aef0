"""What is to be read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.local.core_assignment import CoreAssignment

# Called with what is being done, how much of it is done and how much there is to do.
Progress: TypeAlias = Callable[[str, int, int], None]


def ignore_progress(step: str, num_done: int, num_total: int) -> None:
    """Take a progress report and do nothing."""


@dataclass(frozen=True)
class ModelSource:
    """A prepared model.

    Attributes:
        name: Its name for people.
        source: Where other formats of it can be had, as for `paceline.models.prepare.prepare`.
        weights: Format of the weights in `directory`.
        directory: The prepared directory.
    """

    name: str
    source: str
    weights: str
    directory: Path

    @property
    def title(self) -> str:
        """Name and format, for reports of progress."""
        return f"{self.name} {self.weights}"


@dataclass(frozen=True)
class ReadingPlan:
    """Which models read and write what.

    Attributes:
        target: The model whose text clients get.
        drafts: Candidates for its draft.
        prompts: Chats of one turn, at least one.
        max_tokens: Most tokens of the target's text to each prompt.
        temperatures: Beside greedy; above 0.
        seed: Of all texts.
        num_draft_tokens: The draft lengths K that are looked at, at least one.
        cores: On which each pool computes.
    """

    target: ModelSource
    drafts: tuple[ModelSource, ...]
    prompts: tuple[BenchPrompt, ...]
    max_tokens: int
    temperatures: tuple[float, ...]
    seed: int
    num_draft_tokens: tuple[int, ...]
    cores: CoreAssignment
