"""Keeping KV, updating it in part, rebuilding it: other rows are computed, and the same bits come of them."""

from collections.abc import Iterator
from collections.abc import Sequence as Ids
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.engine.admission import CacheUpdate
from paceline.engine.batch import Batch
from paceline.engine.engine import AdmissionRules, Engine, EngineConfig
from paceline.engine.sequence import Sequence
from paceline.engine.work import Work
from tests.paceline.engine.capture import Capture, run, settle, work_of
from tests.paceline.engine.engines import EVERYWHERE, Where
from tests.paceline.engine.hash_runner import BLOCK_SIZE, HashRunner, continuation, hash_engine, next_id
from tests.paceline.engine.tiny_models import LLAMA, random_weights, stored_weights, write_prepared

UPDATES: tuple[CacheUpdate, ...] = get_args(CacheUpdate)
NUM_DRAFT_TOKENS = 4
PROMPT = list(range(10))


# What is computed


class RowCounter:
    """Counts the rows of passes, which must not be filled up."""

    def __init__(self) -> None:
        self.num_rows = 0

    def __call__(self, batch: Batch) -> None:
        self.num_rows += batch.num_rows

    def taken(self) -> int:
        """Return the rows since the last call."""
        num_rows, self.num_rows = self.num_rows, 0
        return num_rows


def counted_rounds(cache_update: CacheUpdate, accepted: Ids[int]) -> list[tuple[int, int]]:
    """Verify drafts round after round; return the ids that there were, drafts included, and the rows computed."""
    runner, counter, found = HashRunner(num_blocks=64), RowCounter(), list[tuple[int, int]]()
    runner.before_pass = counter
    with hash_engine(runner=runner, cache_update=cache_update) as engine:
        sequence, ids = engine.open_sequence(), list(PROMPT)
        run(engine, sequence, 0, ids)
        for num_accepted in accepted:
            counter.taken()
            right = continuation(ids, num_accepted)
            drafts = [*right, *[96] * (NUM_DRAFT_TOKENS - num_accepted)]
            result = run(engine, sequence, len(ids) - 1, [ids[-1], *drafts], num_selected=len(drafts) + 1)
            found.append((len(ids) + len(drafts), counter.taken()))
            ids += [*right, int(result.selected_ids[num_accepted])]
            assert ids == [*PROMPT, *continuation(PROMPT, len(ids) - len(PROMPT))]
    return found


@pytest.mark.parametrize(
    ("cache_update", "num_rows"),
    [("keep", [5, 5, 5, 5]), ("partial", [6, 5, 7, 8]), ("rebuild", [14, 17, 19, 20])],
)
def test_a_round_computes_its_own_rows_and_what_was_not_kept(
    cache_update: CacheUpdate, num_rows: list[int]
) -> None:
    """Blocks of 4: after 9, 12, 14 and 15 ids that agree, 1, 0, 2 and 3 of them are in a block that is not full."""
    assert [rows for _, rows in counted_rounds(cache_update, [2, 1, 0, 0])] == num_rows


def test_partial_updates_compute_less_than_a_block_more_and_rebuilding_everything() -> None:
    accepted = [*range(NUM_DRAFT_TOKENS + 1)] * 2
    kept, partial, rebuilt = (counted_rounds(update, accepted) for update in UPDATES)
    assert {rows for _, rows in kept} == {NUM_DRAFT_TOKENS + 1}
    assert {rows - NUM_DRAFT_TOKENS - 1 for _, rows in partial} == set(range(BLOCK_SIZE))
    assert [rows for _, rows in rebuilt] == [num_ids for num_ids, _ in rebuilt]


@pytest.mark.parametrize(("cache_update", "num_blocks"), [("keep", 3), ("partial", 2), ("rebuild", 0)])
def test_between_two_works_a_sequence_holds_what_the_next_one_may_use(
    cache_update: CacheUpdate, num_blocks: int
) -> None:
    with hash_engine(cache_update=cache_update) as engine:
        sequence = engine.open_sequence()
        run(engine, sequence, 0, PROMPT, num_selected=1)
        assert (engine.usage().num_used_blocks, sequence.token_ids) == (num_blocks, PROMPT)
        forked = engine.fork_sequence(sequence)
        settle(engine)
        assert (len(forked.blocks), forked.token_ids) == (num_blocks, PROMPT)
        engine.close_sequence(sequence)
        assert run(engine, forked, 10, [50], num_selected=1).selected_ids.tolist() == [next_id([*PROMPT, 50])]


@pytest.mark.parametrize("cache_update", UPDATES)
def test_a_draft_is_drawn_behind_whatever_was_refused(cache_update: CacheUpdate) -> None:
    with hash_engine(cache_update=cache_update) as engine:
        sequence = engine.open_sequence()
        run(engine, sequence, 0, PROMPT, num_selected=1, num_drawn=5)
        ids = [*PROMPT, *continuation(PROMPT, 2), 50]
        result = run(engine, sequence, len(ids) - 1, [50], num_selected=1, num_drawn=5)
        assert [*result.selected_ids, *result.drawn_ids] == continuation(ids, 6)


# What comes of it, with a real model


@pytest.fixture(scope="module", params=EVERYWHERE)
def engines(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Engine]]:
    """The same model under each update, with a cache that one sequence can fill."""
    where: Where = request.param
    where.require()
    shape = replace(LLAMA, max_context_tokens=4096)
    stored = stored_weights(random_weights(shape), "int8")
    directory: Path = write_prepared(tmp_path_factory.mktemp("tiny"), shape, stored, "int8")
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                Engine.load(
                    EngineConfig(
                        directory,
                        kv_cache_bytes=256 << 10,
                        num_threads=1,
                        engine=where.engine,
                        device=where.device,
                        admission=AdmissionRules(protect_seconds=0),
                        cache_update=update,
                    )
                )
            )
            for update in UPDATES
        ]


class Life:
    """A session on one engine; equal seeds and steps give equal works.

    Attributes:
        trace: What came of each work: ids, and the bits of all logits that chose them.
    """

    def __init__(self, engine: Engine, seed: int) -> None:
        self._engine = engine
        self._random = np.random.default_rng(seed)
        self._opened = [engine.open_sequence()]
        self._ids = self._random_ids(40)
        self._is_known = False
        self.trace: list[tuple[list[int], bytes]] = []

    def play(self, step: str) -> None:
        """Make one step."""
        {
            "verify": self._verify,
            "draw": self._draw,
            "fork": self._fork,
            "rewind": self._rewind,
            "evict": self._evict,
        }[step]()

    def end(self) -> None:
        """Close every sequence."""
        for sequence in self._opened:
            self._engine.close_sequence(sequence)
        settle(self._engine)

    def _verify(self) -> None:
        """Accept the first of random drafts, whatever the model says, and the id that it chooses behind them."""
        drafts = self._random_ids(int(self._random.integers(1, 7)))
        num_accepted = int(self._random.integers(0, len(drafts) + 1))
        chosen = self._choose(self._opened[-1], drafts, num_selected=len(drafts) + 1)
        self._ids += [*drafts[:num_accepted], chosen[num_accepted]]

    def _draw(self) -> None:
        self._ids += self._choose(self._opened[-1], [], num_drawn=int(self._random.integers(0, 5)))

    def _fork(self) -> None:
        """Go on with a fork; the source goes its own way, too."""
        source = self._opened[-1]
        self._opened.append(self._engine.fork_sequence(source))
        self._choose(source, self._random_ids(3))

    def _rewind(self) -> None:
        self._ids = self._ids[: int(self._random.integers(20, len(self._ids) + 1))]

    def _evict(self) -> None:
        """Let another work reserve every block, so that nothing is found by its content either."""
        other = self._engine.open_sequence()
        num_drawn = self._engine.info.max_context_tokens - 1
        handle = self._engine.submit(Work(other, 0, np.array([0], np.int64), 1, num_drawn))
        handle.finish()
        handle.future.result()
        self._engine.close_sequence(other)

    def _choose(
        self, sequence: Sequence, drafts: list[int], num_selected: int = 1, num_drawn: int = 0
    ) -> list[int]:
        position = len(self._ids) - 1 if self._is_known else 0
        capture = Capture()
        ids = np.array([*self._ids[position:], *drafts], np.int64)
        work = Work(sequence, position, ids, num_selected, num_drawn, selector=capture)
        result = self._engine.submit(work).future.result()
        self._is_known = True
        chosen = [*result.selected_ids.tolist(), *result.drawn_ids.tolist()]
        self.trace.append((chosen, capture.logits.tobytes()))
        return chosen

    def _random_ids(self, num_ids: int) -> list[int]:
        return self._random.integers(0, LLAMA.vocabulary_size, num_ids).tolist()


@given(
    seed=st.integers(0, 1 << 32),
    steps=st.lists(
        st.sampled_from(["verify", "verify", "draw", "fork", "rewind", "evict"]), min_size=1, max_size=8
    ),
)
@settings(max_examples=25, deadline=None)
def test_ids_and_bits_are_the_same_under_each_update(
    engines: list[Engine], seed: int, steps: list[str]
) -> None:
    traces: list[list[tuple[list[int], bytes]]] = []
    for engine in engines:
        life = Life(engine, seed)
        for step in ["draw", *steps, "verify"]:
            life.play(step)
        life.end()
        assert engine.usage().num_used_blocks == 0
        traces.append(life.trace)
    assert traces[1] == traces[0]
    assert traces[2] == traces[0]


@pytest.mark.parametrize("which", [0, 1, 2], ids=UPDATES)
def test_a_cache_that_others_emptied_is_computed_again(engines: list[Engine], which: int) -> None:
    """What `_evict` above rests on."""
    engine = engines[which]
    life = Life(engine, seed=1)
    life.play("draw")
    life.play("evict")
    capture = Capture()
    sequence = engine.open_sequence()
    ids = list(life._ids)
    result = engine.submit(work_of(sequence, 0, ids, 1, capture)).future.result()
    assert result.timing.num_cached_tokens == 0
    engine.close_sequence(sequence)
    life.end()
