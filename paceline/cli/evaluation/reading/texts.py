"""Texts: what a target writes to a prompt, and what a model would choose at each position of a written one."""

from collections.abc import Sequence
from dataclasses import dataclass

from paceline.cli.evaluation.reading.work_groups import ChosenReport, TextWork, run_texts
from paceline.engine.engine import Engine
from paceline.engine.work import Selector
from paceline.sampling.parameters import SamplingParameters

Ids = tuple[int, ...]


@dataclass(frozen=True)
class TextTask:
    """A text to be written.

    Attributes:
        prompt_ids: At least one.
        sampling: How its ids are chosen, by the target and by whoever is compared with it.
        kept_text: Its number among the texts of which logits are kept; None for others.
    """

    prompt_ids: Ids
    sampling: SamplingParameters
    kept_text: int | None = None


@dataclass(frozen=True)
class WrittenText:
    """A text that a model has written: at least one id, a stop id included where it ends with one."""

    task: TextTask
    ids: Ids


def write_texts(
    engine: Engine,
    tasks: Sequence[TextTask],
    selectors: Sequence[Selector],
    max_tokens: int,
    stop_ids: frozenset[int],
    report: ChosenReport,
) -> tuple[WrittenText, ...]:
    """Return the engine's text to each prompt, all decoded together; a selector for each chooses the ids."""
    works = [
        TextWork(task.prompt_ids, 1, max_tokens - 1, stop_ids, selector)
        for task, selector in zip(tasks, selectors, strict=True)
    ]
    results = run_texts(engine, works, report)
    return tuple(
        WrittenText(task, (*result.selected_ids.tolist(), *result.drawn_ids.tolist()))
        for task, result in zip(tasks, results, strict=True)
    )


def choices_in(
    engine: Engine, texts: Sequence[WrittenText], selectors: Sequence[Selector | None], report: ChosenReport
) -> list[Ids]:
    """Return what the engine would choose at each position of each text, given all of the text before it.

    A selector for each chooses; the highest logit where it is None.
    """
    works = [
        TextWork((*text.task.prompt_ids, *text.ids[:-1]), len(text.ids), selector=selector)
        for text, selector in zip(texts, selectors, strict=True)
    ]
    return [tuple(result.selected_ids.tolist()) for result in run_texts(engine, works, report)]
