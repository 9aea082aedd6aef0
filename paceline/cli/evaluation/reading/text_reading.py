"""What the processes of a target and of its drafts do for acceptance: write texts, and read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paceline.cli.evaluation.reading.expected import Expected, ExpectingSelector
from paceline.cli.evaluation.reading.kept_logits import KeepingSelector, KeptLogits, Row
from paceline.cli.evaluation.reading.plan import Progress
from paceline.cli.evaluation.reading.texts import Ids, TextTask, WrittenText, choices_in, write_texts
from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.work import Logits
from paceline.sampling.outlook import Outlook, OutlookSelector
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.selector import RowSelector, selector_for

_CHANCE_DIGITS = 4


@dataclass(frozen=True)
class TextReading:
    """What a draft makes of a text.

    Attributes:
        chosen_ids: Its own choice at each position, given the text before it.
        outlooks: Of a greedy text, what it thinks of each position; empty for others.
        expected: Exact acceptance at the kept positions, in their order; empty for a text of which none is kept.
    """

    chosen_ids: Ids
    outlooks: tuple[Outlook, ...]
    expected: tuple[Expected, ...]


def write_as_target(
    config: EngineConfig,
    name: str,
    tasks: Sequence[TextTask],
    max_tokens: int,
    stop_ids: frozenset[int],
    logits: KeptLogits | None,
    progress: Progress,
) -> tuple[WrittenText, ...]:
    """Load the target and return its texts; its logits at kept places go to the file."""
    progress(f"{name}: loading", 0, 1)
    with Engine.load(config) as engine:
        rows = logits.create(engine.info.vocabulary_size) if logits is not None else None
        selectors = [
            KeepingSelector(selector_for(task.sampling), _kept_rows(task, max_tokens, logits, rows))
            for task in tasks
        ]
        return write_texts(
            engine,
            tasks,
            selectors,
            max_tokens,
            stop_ids,
            lambda num_done, num_total: progress(f"{name}: writing texts", num_done, num_total),
        )


def read_as_draft(
    config: EngineConfig,
    name: str,
    texts: Sequence[WrittenText],
    logits: KeptLogits | None,
    progress: Progress,
) -> tuple[TextReading, ...]:
    """Load a draft and return what it makes of each text."""
    progress(f"{name}: loading", 0, 1)
    rows = logits.open() if logits is not None else None
    with Engine.load(config) as engine:
        outlooks = [dict[int, Outlook]() for _ in texts]
        selectors = [
            ExpectingSelector(
                _chooser(text.task.sampling, noted),
                text.task.sampling,
                _kept_rows(text.task, len(text.ids), logits, rows),
            )
            for text, noted in zip(texts, outlooks, strict=True)
        ]
        chosen = choices_in(
            engine,
            texts,
            selectors,
            lambda num_done, num_total: progress(f"{name}: reading texts", num_done, num_total),
        )
    return tuple(
        TextReading(ids, _in_order(noted), tuple(selector.expected))
        for ids, noted, selector in zip(chosen, outlooks, selectors, strict=True)
    )


def _chooser(sampling: SamplingParameters, outlooks: dict[int, Outlook]) -> RowSelector:
    """Speed is foretold of greedy texts: outlooks of others are not asked for."""
    return (
        selector_for(sampling)
        if sampling.temperature
        else OutlookSelector(sampling, None, outlooks.__setitem__)
    )


def _in_order(outlooks: dict[int, Outlook]) -> tuple[Outlook, ...]:
    """The outlooks by position; a journal need not hold sixteen digits of a chance."""
    return tuple(
        Outlook(outlook.token_ids, tuple(round(chance, _CHANCE_DIGITS) for chance in outlook.chances))
        for _, outlook in sorted(outlooks.items())
    )


def _kept_rows(
    task: TextTask, num_tokens: int, logits: KeptLogits | None, rows: Logits | None
) -> Mapping[int, Row]:
    """The rows of the file by the absolute position of the id that follows."""
    if logits is None or rows is None or task.kept_text is None:
        return {}
    kept = logits.places.rows_of(task.kept_text)
    num_prompt_ids = len(task.prompt_ids)
    return {num_prompt_ids + place: rows[row] for place, row in kept.items() if place < num_tokens}
