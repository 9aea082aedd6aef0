"""What is read from the models themselves, by the keys under which the journal keeps it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from paceline.cli.evaluation.amount import ReadingAmount
from paceline.cli.evaluation.piece_key import PieceKeys
from paceline.cli.evaluation.plan import EvaluationPlan
from paceline.cli.evaluation.reading.acceptance import AcceptanceReading, read_acceptance
from paceline.cli.evaluation.reading.formats import FormatReading, read_formats
from paceline.cli.evaluation.reading.kv_memory import MemoryReading, read_kv_memory
from paceline.cli.evaluation.reading.plan import Progress
from paceline.cli.evaluation.reading.steps import StepReading, read_steps
from paceline.cli.evaluation.section import Section

T = TypeVar("T")

MODELS = "models"  # belongs to no section: all need it
FORMAT_WEIGHTS = ("f16", "int8", "int4")
# "auto" is as it is served, unquantised.
FORMAT_KV_PRECISIONS = ("auto", "u8")
MEMORY_KV_PRECISIONS = ("auto", "bf16", "u8")
# Steps and memory are measured on made-up ids, not on prompts.
_NO_TEXT = ReadingAmount(prompts_per_kind=1, max_tokens=1)


@dataclass(frozen=True)
class ReadingPiece(Generic[T]):
    """One reading that is to be made, or has been."""

    name: str
    key: str
    form: TypeAdapter[T]
    read: Callable[[Progress], T]


@dataclass(frozen=True)
class ReadingPieces:
    """All readings of an evaluation; None is left out."""

    steps: ReadingPiece[StepReading]
    acceptance: ReadingPiece[AcceptanceReading] | None
    memory: ReadingPiece[MemoryReading] | None
    formats: ReadingPiece[FormatReading] | None

    def __iter__(self) -> Iterator[ReadingPiece[Any]]:
        """Yield those that are not left out."""
        pieces: tuple[ReadingPiece[Any] | None, ...] = (
            self.steps,
            self.acceptance,
            self.memory,
            self.formats,
        )
        return (piece for piece in pieces if piece is not None)


def reading_pieces(plan: EvaluationPlan, keys: PieceKeys) -> ReadingPieces:
    """Return the readings that a plan wants."""
    return ReadingPieces(
        _steps(plan, keys),
        _acceptance(plan, keys) if Section.ACCEPTANCE in plan.sections else None,
        _memory(plan, keys) if Section.MEMORY in plan.sections else None,
        _formats(plan, keys) if Section.QUANTISATION in plan.sections else None,
    )


def _steps(plan: EvaluationPlan, keys: PieceKeys) -> ReadingPiece[StepReading]:
    reading = plan.reading(_NO_TEXT)
    return ReadingPiece(
        MODELS, keys.reading(MODELS, reading), TypeAdapter(StepReading), partial(read_steps, reading)
    )


def _acceptance(plan: EvaluationPlan, keys: PieceKeys) -> ReadingPiece[AcceptanceReading]:
    reading = plan.reading(plan.amount.acceptance)
    return ReadingPiece(
        Section.ACCEPTANCE.value,
        keys.reading(Section.ACCEPTANCE, reading),
        TypeAdapter(AcceptanceReading),
        partial(read_acceptance, reading),
    )


def _memory(plan: EvaluationPlan, keys: PieceKeys) -> ReadingPiece[MemoryReading]:
    reading, precisions = plan.reading(_NO_TEXT), MEMORY_KV_PRECISIONS
    more = (plan.session_tokens, plan.budget_bytes, plan.rebuilt_tokens)
    return ReadingPiece(
        Section.MEMORY.value,
        keys.reading(Section.MEMORY, reading, precisions=precisions, more=more),
        TypeAdapter(MemoryReading),
        lambda progress: read_kv_memory(reading, precisions, *more, progress),
    )


def _formats(plan: EvaluationPlan, keys: PieceKeys) -> ReadingPiece[FormatReading]:
    reading, weights, precisions = (
        plan.reading(plan.amount.formats),
        FORMAT_WEIGHTS,
        FORMAT_KV_PRECISIONS,
    )
    return ReadingPiece(
        Section.QUANTISATION.value,
        keys.reading(Section.QUANTISATION, reading, weights=weights, precisions=precisions),
        TypeAdapter(FormatReading),
        lambda progress: read_formats(reading, weights, precisions, progress),
    )
