"""Training: batches in, a better student out, and the acceptance as it grows."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import islice
from time import monotonic

import torch

from paceline.distillation.acceptance import measure_acceptance
from paceline.distillation.batch import Batch, epoch_batches
from paceline.distillation.checkpoint import TrainingPoint, load_checkpoint, save_checkpoint
from paceline.distillation.corpus import Corpus
from paceline.distillation.curve import CurvePoint, append_point
from paceline.distillation.loss import draw_candidates, loss_and_gradients
from paceline.distillation.optimizers import Optimizers
from paceline.distillation.pace import Budget, rate_share
from paceline.distillation.run_directory import RunDirectory, RunSettings
from paceline.distillation.student import Student
from paceline.errors import PacelineError


class NoTextError(PacelineError):
    """There is nothing to train on (`directory`)."""

    reason = "NO_TEXT"


@dataclass(frozen=True)
class TrainingPlan:
    """How a student is trained.

    Attributes:
        rows_per_batch: Packed rows of a step.
        num_sampled: Tokens that stand for all those that no label of the batch names; see `loss`.
        next_weight: How much the token that was written counts beside the target's probabilities.
        seconds_between_points: Seconds of training between two measurements.
        max_held_out: Held-out positions of greedy answers, and of sampled ones, that are measured.
        computes_in_bf16: Whether products are computed in bf16, which CPUs with AMX do several times faster.
    """

    rows_per_batch: int = 4
    num_sampled: int = 2048
    next_weight: float = 0.2
    seconds_between_points: float = 60.0
    max_held_out: int = 4096
    computes_in_bf16: bool = False

    @property
    def compute(self) -> torch.dtype:
        """The type that products are computed in."""
        return torch.bfloat16 if self.computes_in_bf16 else torch.float32


class Trainer:
    """Trains a run's student for one budget; what was reached is on disk after each point of the curve.

    Attributes:
        student: The student.
        point: How far it is.
    """

    def __init__(
        self,
        directory: RunDirectory,
        settings: RunSettings,
        corpus: Corpus,
        student: Student,
        plan: TrainingPlan,
    ) -> None:
        """Go on from the directory's checkpoint where there is one; `student` is what training begins with."""
        self.student = student
        self._directory = directory
        self._settings = settings
        self._corpus = corpus
        self._plan = plan
        self._optimizers = Optimizers(student)
        self.point = TrainingPoint()
        if directory.checkpoint.is_file():
            self.point = load_checkpoint(directory.checkpoint, student, self._optimizers)

    def train(
        self,
        budget: Budget,
        is_stopped: Callable[[], bool],
        note_step: Callable[[TrainingPoint, float, float], None],
        note_point: Callable[[CurvePoint], None],
    ) -> None:
        """Train until the budget is used or a stop is wanted, and save.

        `note_step` hears after each step how far it is, the step's loss, and the share of the budget that is used;
        `note_point` of each point of the curve. Raises NoTextError.
        """
        begun, measured, started = self.point, self.point, monotonic()
        losses: list[float] = []
        for batch in self._batches():
            seconds = monotonic() - started
            progress = budget.progress(seconds, self.point.num_tokens - begun.num_tokens)
            if progress >= 1.0 or is_stopped():
                break
            losses.append(self._step(batch, rate_share(self.point.num_steps, progress)))
            self._count(batch, begun.seconds + monotonic() - started)
            note_step(self.point, losses[-1], progress)
            if self.point.seconds - measured.seconds >= self._plan.seconds_between_points:
                note_point(self._measure(losses))
                measured, losses = self.point, []
        note_point(self._measure(losses))

    def _batches(self) -> Iterator[Batch]:
        """Yield batches from where training stands on; each epoch goes through all shards that there are by then."""
        while True:
            if not self.point.num_batches:
                self._corpus.refresh()
                self.point = replace(self.point, num_shards=self._corpus.num_shards)
            documents = self._corpus.training_documents(self.point.num_shards)
            if not documents:
                message = f"{self._directory.text} holds no text to train on: let the target write some first"
                raise NoTextError(message, directory=str(self._directory.text))
            seed = (self._settings.seed, self.point.epoch)
            batches = epoch_batches(documents, self._settings.row_size, self._plan.rows_per_batch, seed)
            yield from islice(batches, self.point.num_batches, None)
            self.point = replace(self.point, epoch=self.point.epoch + 1, num_batches=0)

    def _step(self, batch: Batch, share: float) -> float:
        plan, student = self._plan, self.student
        # Not one generator for all: a run that is resumed draws what it would have drawn.
        generator = torch.Generator().manual_seed(self.point.num_steps)
        candidates = draw_candidates(batch, student.embedding.shape[0], plan.num_sampled, generator)
        with self._precision():
            hidden = student(*map(torch.from_numpy, batch[:3])).flatten(0, 1)
        labelled = hidden.index_select(0, torch.from_numpy(batch.label_places))
        rows = student.embedding.detach().index_select(0, candidates.token_ids)
        found = loss_and_gradients(labelled, rows, candidates, plan.next_weight, plan.compute)
        labelled.backward(found.hidden.to(labelled.dtype))
        # As the head; its gradient as the embedding is there by now.
        assert student.embedding.grad is not None
        student.embedding.grad.index_add_(0, candidates.token_ids, found.rows)
        self._optimizers.step(share)
        return found.loss

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast("cpu", torch.bfloat16, enabled=self._plan.computes_in_bf16)

    def _count(self, batch: Batch, seconds: float) -> None:
        point = self.point
        self.point = replace(
            point,
            num_steps=point.num_steps + 1,
            num_tokens=point.num_tokens + len(batch.next_ids),
            seconds=seconds,
            num_batches=point.num_batches + 1,
        )

    def _measure(self, losses: list[float]) -> CurvePoint:
        """Save, then measure and write it down."""
        save_checkpoint(self._directory.checkpoint, self.student, self._optimizers, self.point)
        held_out = self._corpus.held_out_documents()
        acceptance = measure_acceptance(
            self.student, held_out, self._settings.row_size, self._plan.max_held_out
        )
        measured = CurvePoint(
            num_tokens=self.point.num_tokens,
            num_text_tokens=self._corpus.num_written_tokens,
            num_steps=self.point.num_steps,
            seconds=self.point.seconds,
            epoch=self.point.epoch,
            loss=sum(losses) / len(losses) if losses else None,
            acceptance=acceptance,
        )
        append_point(self._directory.curve, measured)
        return measured
