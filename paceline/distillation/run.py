"""One run of distillation: its parts, each of which goes on where an earlier call has stopped."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from paceline.distillation.acceptance import first_documents
from paceline.distillation.checkpoint import TrainingPoint, load_checkpoint
from paceline.distillation.corpus import Corpus
from paceline.distillation.curve import CurvePoint
from paceline.distillation.export import Draft, DraftSource, export_draft
from paceline.distillation.head_start import embedding_of
from paceline.distillation.pace import Budget
from paceline.distillation.run_directory import RunDirectory, RunSettings
from paceline.distillation.student import Student
from paceline.distillation.trainer import Trainer, TrainingPlan
from paceline.engine.precision import choose_precision
from paceline.errors import PacelineError
from paceline.models.tokenizer import Tokenizer

# Held-out positions by which the formats of an exported draft are compared.
_NUM_COMPARED = 8192


class NothingTrainedError(PacelineError):
    """There is no student to export (`directory`)."""

    reason = "NOTHING_TRAINED"


@dataclass(frozen=True)
class Run:
    """A run with its target, prepared."""

    directory: RunDirectory
    settings: RunSettings
    target: Path
    num_threads: int

    def train(
        self,
        budget: Budget,
        is_stopped: Callable[[], bool],
        note_step: Callable[[TrainingPoint, float, float], None],
        note_point: Callable[[CurvePoint], None],
    ) -> None:
        """Train for a budget; raises as `Trainer.train` does."""
        torch.set_num_threads(self.num_threads)
        is_new = not self.directory.checkpoint.is_file()
        plan = TrainingPlan(computes_in_bf16=choose_precision("CPU", "f16", "auto", "auto").compute == "bf16")
        trainer = Trainer(self.directory, self.settings, self.corpus(), self._student(is_new=is_new), plan)
        trainer.train(budget, is_stopped, note_step, note_point)

    def export(self, weights: str, directory: Path, name: str) -> Draft:
        """Write the student as it was last saved; raises NothingTrainedError."""
        if not self.directory.checkpoint.is_file():
            message = f"{self.directory.path} holds no trained student yet"
            raise NothingTrainedError(message, directory=str(self.directory.path))
        student = self._student(is_new=False)
        point = load_checkpoint(self.directory.checkpoint, student)
        tokenizer = Tokenizer.load(self.target)
        source = DraftSource(name, student, self.settings, point.num_tokens, tokenizer)
        held_out = [
            one for one in self.corpus().held_out_documents() if one.temperature == 0 and not one.is_question
        ]
        compared = first_documents(held_out, _NUM_COMPARED)
        return export_draft(source, weights, directory, compared, self.num_threads)

    def corpus(self) -> Corpus:
        """Read the text that there is."""
        return Corpus(self.directory.text, self.settings.shape.architecture.vocabulary_size)

    def _student(self, *, is_new: bool) -> Student:
        shape = self.settings.shape
        head_start = embedding_of(self.target, shape.architecture.hidden_size) if is_new else None
        return Student(shape, head_start, self.settings.seed)
