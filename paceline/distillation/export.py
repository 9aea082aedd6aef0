"""A trained student becomes a prepared directory, which the draft service loads."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paceline.distillation.document import Document
from paceline.distillation.output import DISTILLED_FROM
from paceline.distillation.run_directory import RunSettings
from paceline.distillation.student import Student
from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.graph.manifest import WEIGHTS_FILE, Manifest
from paceline.engine.graph.weights import Array
from paceline.engine.work import Work
from paceline.models.safetensors_file import write_safetensors
from paceline.models.stored_weights import stored_weight
from paceline.models.tokenizer import Tokenizer

EMBEDDING = "token_embd"
AUTO = "auto"
# What int4 may cost of the greedy acceptance: its step is that much cheaper.
_MOST_LOST = 0.01
_KV_CACHE_BYTES = 256 << 20
# As the draft service computes.
_ACTIVATION_GROUP_SIZE = 128


@dataclass(frozen=True)
class Draft:
    """A prepared draft.

    Attributes:
        directory: Where it lies.
        weights: The format of its weights.
        num_bytes: Of all its files.
        agreement: Share of the held-out greedy positions where the engine chooses with it what the target wrote; None
            where there are none.
    """

    directory: Path
    weights: str
    num_bytes: int
    agreement: float | None


@dataclass(frozen=True)
class DraftSource:
    """What a draft is made of, and its name in requests."""

    name: str
    student: Student
    settings: RunSettings
    num_training_tokens: int
    tokenizer: Tokenizer


def export_draft(
    source: DraftSource, weights: str, directory: Path, held_out: Sequence[Document], num_threads: int
) -> Draft:
    """Write a draft in a format of weights, or in the better one of int4 and int8 where it is "auto".

    A directory of that name is replaced once the new one is complete. Raises OSError where it cannot be written.
    """
    candidates = ("int8", "int4") if weights == AUTO else (weights,)
    drafts = [
        _write_and_read(
            source, one, directory.with_name(f"{directory.name}-{one}.part"), held_out, num_threads
        )
        for one in candidates
    ]
    chosen = choose(drafts)
    shutil.rmtree(directory, ignore_errors=True)
    chosen.directory.replace(directory)
    for draft in drafts:
        shutil.rmtree(draft.directory, ignore_errors=True)
    return Draft(directory, chosen.weights, chosen.num_bytes, chosen.agreement)


def choose(drafts: Sequence[Draft]) -> Draft:
    """Return the last draft that agrees about as often as the best, since the cheapest step comes last.

    The first where nothing is known.
    """
    known = [draft.agreement for draft in drafts if draft.agreement is not None]
    if not known:
        return drafts[0]
    return [draft for draft in drafts if (draft.agreement or 0.0) >= max(known) - _MOST_LOST][-1]


def write_draft(source: DraftSource, weights: str, directory: Path) -> None:
    """Write a prepared directory, its manifest last."""
    shutil.rmtree(directory, ignore_errors=True)
    source.tokenizer.save(directory)
    stored: dict[str, Array] = {}
    for name, values in source.student.engine_weights().items():
        if values.ndim == 1:
            stored[name] = values
        else:
            is_table = name == EMBEDDING
            stored |= stored_weight(name, values, weights, is_table=is_table, is_head=is_table)
    write_safetensors(directory / WEIGHTS_FILE, stored)
    Manifest(
        name=source.name,
        weights=weights,
        graph="built",
        architecture=source.settings.shape.architecture,
        source=f"{DISTILLED_FROM}{source.settings.target} in {source.num_training_tokens} tokens",
    ).write(directory)


def measure_agreement(directory: Path, documents: Sequence[Document], num_threads: int) -> float | None:
    """Return the share of written tokens that the engine chooses with a draft, as the draft service computes."""
    if not documents:
        return None
    config = EngineConfig(
        directory,
        _KV_CACHE_BYTES,
        num_threads,
        activation_group_size=_ACTIVATION_GROUP_SIZE,
        head="fast",
        batch_invariant="off",
    )
    with Engine.load(config) as engine:
        agrees = [_agreement(engine, document) for document in documents]
    return float(np.concatenate(agrees).mean())


def _write_and_read(
    source: DraftSource, weights: str, directory: Path, held_out: Sequence[Document], num_threads: int
) -> Draft:
    write_draft(source, weights, directory)
    num_bytes = sum(path.stat().st_size for path in directory.iterdir())
    return Draft(directory, weights, num_bytes, measure_agreement(directory, held_out, num_threads))


def _agreement(engine: Engine, document: Document) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    ids = document.token_ids.astype(np.int64)
    sequence = engine.open_sequence()
    result = engine.submit(Work(sequence, 0, ids[:-1], num_selected=document.num_written)).future.result()
    engine.close_sequence(sequence)
    return result.selected_ids == ids[document.num_prompt_tokens :]
