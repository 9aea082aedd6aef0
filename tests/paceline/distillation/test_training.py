"""Training: the student comes nearer to the target, and a run that was stopped goes on where it was."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from paceline.distillation.corpus import Corpus
from paceline.distillation.pace import Budget
from paceline.distillation.run_directory import RunDirectory, RunSettings
from tests.paceline.distillation.small_target import (
    NUM_LABELS,
    VOCABULARY_SIZE,
    documents,
    small_shape,
    write_target,
)
from tests.paceline.distillation.small_text import write

torch = pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")

from paceline.distillation.checkpoint import (  # noqa: E402
    BrokenCheckpointError,
    TrainingPoint,
    load_checkpoint,
    save_checkpoint,
)
from paceline.distillation.optimizers import Optimizers  # noqa: E402
from paceline.distillation.student import Student  # noqa: E402
from paceline.distillation.trainer import NoTextError, Trainer, TrainingPlan  # noqa: E402

if TYPE_CHECKING:
    from paceline.distillation.curve import CurvePoint

pytestmark = pytest.mark.reference

# Threads that wait for each other at every product of so small a model take longer than the products.
torch.set_num_threads(1)

SETTINGS = RunSettings("target", "f32", small_shape(), NUM_LABELS, 64, 0)
PLAN = TrainingPlan(rows_per_batch=4, num_sampled=64, seconds_between_points=1e9, max_held_out=200)


def trainer_of(directory: Path, corpus: Corpus) -> Trainer:
    return Trainer(RunDirectory(directory), SETTINGS, corpus, Student(SETTINGS.shape), PLAN)


def train(trainer: Trainer, num_steps: int) -> "list[CurvePoint]":
    """Train for so many steps, whatever the budget."""
    steps: list[int] = []
    points: list[CurvePoint] = []
    last = trainer.point.num_steps + num_steps
    trainer.train(
        Budget(num_tokens=10**9),
        lambda: trainer.point.num_steps >= last,
        lambda point, _loss, _progress: steps.append(point.num_steps),
        points.append,
    )
    assert steps == list(range(last - num_steps + 1, last + 1))
    return points


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text of a real target."""
    directory = tmp_path_factory.mktemp("run")
    prompts = tuple(f"prompt {number}" for number in range(300))
    corpus = Corpus(directory / "text", VOCABULARY_SIZE)
    write(write_target(directory), corpus, 300, prompts=prompts, num_sessions=64, num_threads=1)
    return directory / "text"


def test_a_student_comes_nearer_to_its_target(written: Path, tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, Corpus(written, VOCABULARY_SIZE))
    [first] = train(trainer, 1)
    [last] = train(trainer, 200)
    assert first.loss is not None
    assert last.loss is not None
    assert last.loss < first.loss
    assert first.acceptance.shared is not None
    assert last.acceptance.shared is not None
    assert last.acceptance.shared > first.acceptance.shared + 0.05
    lines = [json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines()]
    assert [one["num_steps"] for one in lines] == [1, 201]
    assert lines[1]["acceptance"]["shared"] == last.acceptance.shared
    assert lines[1]["num_tokens"] == last.num_tokens > lines[0]["num_tokens"]


def test_a_run_that_was_stopped_goes_through_the_same_batches(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "text", VOCABULARY_SIZE)
    corpus.append(documents([5 + number % 30 for number in range(200)]))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    at_once = trainer_of(whole, corpus)
    train(at_once, 30)
    for num_steps in (4, 17, 9):
        in_parts = trainer_of(parts, corpus)
        train(in_parts, num_steps)
    assert replace(in_parts.point, seconds=0) == replace(at_once.point, seconds=0)
    assert at_once.point.epoch > 0
    for one, other in zip(at_once.student.parameters(), in_parts.student.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_text_that_comes_meanwhile_is_taught_from_the_next_epoch_on(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "text", VOCABULARY_SIZE)
    corpus.append(documents([20] * 20))
    trainer = trainer_of(tmp_path, corpus)
    train(trainer, 1)
    Corpus(tmp_path / "text", VOCABULARY_SIZE).append(documents([20] * 20, seed=1))
    train(trainer, 10)
    assert (trainer.point.num_shards, trainer.point.epoch > 0) == (2, True)


def test_without_text_there_is_nothing_to_learn(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, Corpus(tmp_path / "text", VOCABULARY_SIZE))
    with pytest.raises(NoTextError, match="no text"):
        train(trainer, 1)


def test_a_broken_checkpoint_is_said(tmp_path: Path) -> None:
    path, student = tmp_path / "checkpoint.safetensors", Student(SETTINGS.shape)
    save_checkpoint(path, student, Optimizers(student), TrainingPoint(num_steps=3))
    assert load_checkpoint(path, student).num_steps == 3
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BrokenCheckpointError, match="remove it"):
        load_checkpoint(path, student)
