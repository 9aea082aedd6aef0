"""Text that a small target writes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from paceline.distillation.corpus import Corpus
from paceline.distillation.writing import WritingOptions, write_text
from tests.paceline.distillation.small_target import NUM_LABELS

OPTIONS = WritingOptions(
    prompts=("What is a tide?", "Count to ten.", "Why?"),
    writes_questions=False,
    temperatures=(0.0, 1.0),
    num_sessions=8,
    max_answer_tokens=24,
    num_labels=NUM_LABELS,
    num_threads=2,
    seed=3,
)


def write(target: Path, corpus: Corpus, num_texts: int, **changes: Any) -> None:
    """Write about so many texts, those of no use counted too."""
    noted: list[int] = []
    write_text(target, corpus, replace(OPTIONS, **changes), lambda: len(noted) >= num_texts, noted.append)
