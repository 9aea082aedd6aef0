"""The student computes in torch what the engine computes with its weights."""

from pathlib import Path

import numpy as np
import pytest

from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.work import Logits
from paceline.models.tokenizer import Tokenizer
from tests.paceline.distillation.small_target import small_shape, write_target
from tests.paceline.engine.capture import logits_of

torch = pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")

from paceline.distillation.batch import make_batch  # noqa: E402
from paceline.distillation.export import DraftSource, write_draft  # noqa: E402
from paceline.distillation.head_start import embedding_of, projected  # noqa: E402
from paceline.distillation.run_directory import RunSettings  # noqa: E402
from paceline.distillation.student import Student  # noqa: E402
from tests.paceline.distillation.small_target import documents  # noqa: E402

pytestmark = pytest.mark.reference

IDS = np.random.default_rng(2).integers(0, 256, 60).tolist()


def lively_student() -> Student:
    """Its norms are no ones and its logits spread, so that a weight that is read wrongly shows."""
    student = Student(small_shape(), seed=4)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for one in student.parameters():
            if one.ndim == 1:
                one.add_(0.3 * torch.randn(one.shape, generator=generator))
    return student


def torch_logits(student: Student, ids: list[int]) -> Logits:
    with torch.no_grad():
        row = torch.tensor([ids])
        hidden = student(row, torch.arange(len(ids))[None], torch.ones_like(row))
        return (hidden[0] @ student.embedding.T).numpy()


def engine_logits(student: Student, weights: str, directory: Path) -> Logits:
    settings = RunSettings("target", "f32", small_shape(), 4, 64, 0)
    tokenizer = Tokenizer.load(write_target(directory))
    write_draft(DraftSource("draft", student, settings, 0, tokenizer), weights, directory / "draft")
    with Engine.load(
        EngineConfig(directory / "draft", 4 << 20, num_threads=2, batch_invariant="off")
    ) as engine:
        return logits_of(engine, engine.open_sequence(), 0, IDS)


def test_logits_are_the_engines(tmp_path: Path) -> None:
    student = lively_student()
    expected = torch_logits(student, IDS)
    assert expected.std() > 0.5
    np.testing.assert_allclose(engine_logits(student, "f32", tmp_path), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("weights", "least"), [("int8", 0.85), ("int4", 0.4)])
def test_quantised_it_mostly_chooses_the_same(tmp_path: Path, weights: str, least: float) -> None:
    student = lively_student()
    chosen = engine_logits(student, weights, tmp_path).argmax(axis=1)
    assert (chosen == torch_logits(student, IDS).argmax(axis=1)).mean() >= least


def test_packed_texts_do_not_see_each_other() -> None:
    student = lively_student()
    some = documents([9, 12, 7])
    packed = make_batch([some], 40)
    with torch.no_grad():
        together = student(*map(torch.from_numpy, packed[:3]))[0]
    start = 0
    for document in some:
        alone = torch_logits(student, document.token_ids[:-1].tolist())
        part = together[start : start + len(alone)] @ student.embedding.T
        np.testing.assert_allclose(part.detach().numpy(), alone, atol=1e-4)
        start += len(alone)


def test_the_head_start_keeps_what_tells_tokens_apart(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    narrow = generator.standard_normal((200, 8)).astype(np.float32)
    wide = narrow @ np.linalg.qr(generator.standard_normal((32, 8)))[0].T.astype(np.float32)
    found = projected(wide, 8)
    scale = (narrow**2).sum(axis=1).mean()
    np.testing.assert_allclose(found @ found.T, narrow @ narrow.T / scale, atol=1e-4)
    assert embedding_of(write_target(tmp_path), 32) is None  # it is no wider itself
    assert embedding_of(write_target(tmp_path), 16).shape == (264, 16)  # pyright: ignore[reportOptionalMemberAccess]
