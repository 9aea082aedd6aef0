"""What the comparison of cache strategies plays and reads is right, whatever is kept of the KV."""

from pathlib import Path
from typing import cast, get_args

import numpy as np
import pytest

from benchmarks.cache_strategies import (
    LoadedModel,
    Session,
    Strategy,
    compared,
    held_bytes,
    read,
)
from paceline.engine.batch import Batch
from paceline.engine.engine import CacheUpdate, EngineConfig
from paceline.engine.model_runner import ModelRunner
from paceline.engine.work import Logits
from tests.paceline.engine.capture import settle
from tests.paceline.engine.hash_runner import (
    VOCABULARY_SIZE,
    HashRunner,
    continuation,
    hash_engine,
    next_id,
)

UPDATES: tuple[CacheUpdate, ...] = get_args(CacheUpdate)
PROMPT = list(range(10))


class DisagreeingRunner(HashRunner):
    """A model whose choices are never the other's."""

    def forward(self, batch: Batch) -> Logits:
        return np.roll(super().forward(batch), 1, axis=1)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    with hash_engine() as engine:
        info = engine.info
    return LoadedModel(EngineConfig(Path("none"), 0, 1), cast("ModelRunner", HashRunner(num_blocks=64)), info)


@pytest.mark.parametrize("is_fed", [True, False])
@pytest.mark.parametrize(("runner", "num_accepted"), [(HashRunner, 4), (DisagreeingRunner, 0)])
@pytest.mark.parametrize("update", UPDATES)
def test_rounds_write_the_targets_own_text(
    update: CacheUpdate, runner: type[HashRunner], num_accepted: int, *, is_fed: bool
) -> None:
    with (
        hash_engine(cache_update=update) as target,
        hash_engine(runner=runner(num_blocks=64), cache_update=update) as draft,
    ):
        session = Session(target, draft, PROMPT, num_draft_tokens=4)
        if is_fed:
            session.feed()
        for _ in range(3):
            session.play_round()
        assert session.ids == [*PROMPT, *continuation(PROMPT, 3 * (num_accepted + 1))]
        assert (session.num_rounds, session.num_accepted) == (3, 3 * num_accepted)
        assert (held_bytes(target) == 0) == (update == "rebuild")
        session.close()
        settle(target)
        assert held_bytes(target) == 0


@pytest.mark.parametrize("update", UPDATES)
def test_a_text_is_read_as_if_no_draft_had_been_refused(model: LoadedModel, update: CacheUpdate) -> None:
    ids = np.random.default_rng(5).integers(0, VOCABULARY_SIZE, 50).tolist()
    logits = read(model, update, ids, num_draft_tokens=4)
    assert logits.argmax(axis=1).tolist() == [next_id(ids[: end + 1]) for end in range(len(ids))]


def test_equal_readings_are_equal_and_others_are_told_apart() -> None:
    ids = [3, 1, 2, 0]
    even = np.zeros((4, 8), np.float32)
    same = compared(even, even, ids)
    assert (same.same_ids, same.same_bits, same.max_difference, same.num_positions) == (1, 1, 0, 4)
    assert same.perplexity == pytest.approx(8), "eight ids that are equally likely"
    other = even.copy()
    other[1, 5] = 2
    different = compared(even, other, ids)
    assert (different.same_ids, different.same_bits, different.max_difference) == (0.75, 0.75, 2)
    assert different.perplexity > 8


def test_a_strategy_is_a_precision_and_an_update() -> None:
    assert Strategy.parse("u8:partial") == Strategy("u8", "partial")
    assert Strategy.parse("u8:partial").name == "u8:partial"
    for text in ("u8", "u8:", ":keep", "u8:sometimes"):
        with pytest.raises(ValueError, match=text):
            Strategy.parse(text)
