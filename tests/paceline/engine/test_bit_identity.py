"""Logits of a real model are the same bits however a row was computed: the ground of every promise of exactness.

What is compared with: the rows of one sequence, decoded one by one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paceline.engine.engine import Engine
from paceline.engine.sequence import Sequence
from paceline.engine.work import Logits, Work
from tests.paceline.engine.capture import Capture, logits_of, run, settle, submit_together, work_of
from tests.paceline.engine.engines import OPENVINO, TORCH_CPU, TORCH_CUDA, TORCH_SLICED, Where
from tests.paceline.engine.smollm2 import BLOCK_SIZE, load_smollm2, write_shallow

NUM_BLOCKS = 20
IDS = np.random.default_rng(11).integers(0, 49_152, 3 * BLOCK_SIZE).tolist()
WRONG_IDS = [token_id + 1 if token_id < 49_151 else 0 for token_id in IDS]


@dataclass
class Exact:
    """An engine, and the bits that it computed for IDS one row a pass."""

    engine: Engine
    expected: Logits  # [len(IDS), vocab_size]
    load: Callable[..., Engine]  # the same model again

    def require(self, logits: Logits, start: int) -> None:
        """Compare the logits of neighbouring positions bit by bit."""
        expected = self.expected[start : start + len(logits)]
        same = [one.tobytes() == other.tobytes() for one, other in zip(logits, expected, strict=True)]
        assert all(same), (
            f"other bits at positions {[start + at for at, is_same in enumerate(same) if not is_same]}"
        )

    def sequence(self, num_tokens: int = 0) -> Sequence:
        """A sequence that has computed the first tokens of IDS, from nothing."""
        forget_all(self.engine)
        sequence = self.engine.open_sequence()
        result = run(self.engine, sequence, 0, IDS[:num_tokens])
        assert result.timing.num_cached_tokens == 0
        return sequence


@dataclass(frozen=True)
class Case:
    """What is loaded; `num_layers` of the model, all where it is None."""

    where: Where
    weights: str
    compute: str
    num_layers: int | None = None

    def __str__(self) -> str:
        depth = "" if self.num_layers is None else f", {self.num_layers} layers"
        return f"{self.where}, {self.weights} weights in {self.compute}{depth}"


_TORCH, _SLOW = pytest.mark.reference, pytest.mark.slow


@pytest.fixture(
    scope="module",
    params=[
        Case(OPENVINO, "f16", "bf16"),
        Case(OPENVINO, "int8", "f32"),
        pytest.param(Case(OPENVINO, "f16", "f32"), marks=_SLOW),
        pytest.param(Case(TORCH_CPU, "f16", "f32", num_layers=2), marks=_TORCH),
        pytest.param(Case(TORCH_CPU, "f16", "f32"), marks=[_TORCH, _SLOW]),
        pytest.param(Case(TORCH_CPU, "f16", "bf16"), marks=[_TORCH, _SLOW]),
        pytest.param(Case(TORCH_SLICED, "f16", "f32", num_layers=2), marks=[_TORCH, _SLOW]),
        pytest.param(Case(TORCH_CUDA, "f16", "bf16"), marks=_TORCH),
        pytest.param(Case(TORCH_CUDA, "f16", "f32"), marks=_TORCH),
    ],
    ids=str,
)
def exact(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exact]:
    case: Case = request.param
    directory = None
    if case.num_layers is not None:
        directory = write_shallow(tmp_path_factory.mktemp("shallow"), case.weights, case.num_layers)
    load = partial(load_smollm2, case.weights, case.compute, where=case.where, directory=directory)
    with load(num_blocks=NUM_BLOCKS) as engine:
        sequence = engine.open_sequence()
        one_by_one = [
            logits_of(engine, sequence, position, [token_id]) for position, token_id in enumerate(IDS)
        ]
        engine.close_sequence(sequence)
        yield Exact(engine, np.concatenate(one_by_one), load)


def forget_all(engine: Engine) -> None:
    """Let a work reserve every block, so that idle sequences lose theirs and nothing is found by its content."""
    sequence = engine.open_sequence()
    num_drawn = engine.info.max_context_tokens - 1
    handle = engine.submit(Work(sequence, 0, np.array([0], np.int64), 1, num_drawn))
    handle.finish()
    handle.future.result()
    engine.close_sequence(sequence)
    settle(engine)
    assert engine.usage().num_used_blocks == engine.usage().num_cached_blocks == 0


def cut(ids: list[int], sizes: list[int]) -> Iterator[tuple[int, list[int]]]:
    """Parts of ids of these sizes, over and over, with the position of each."""
    start, number = 0, 0
    while start < len(ids):
        stop = start + sizes[number % len(sizes)]
        yield start, ids[start:stop]
        start, number = stop, number + 1


def test_the_logits_compared_are_worth_comparing(exact: Exact) -> None:
    assert len({row.tobytes() for row in exact.expected}) == len(IDS)
    assert exact.expected.std() > 1


def test_one_to_sixty_four_rows_a_pass(exact: Exact) -> None:
    sequence = exact.sequence(len(IDS))
    for num_rows in range(1, 65):
        start = len(IDS) - num_rows
        capture = Capture()
        work = work_of(sequence, start, IDS[start:], num_rows, capture)
        timing = exact.engine.submit(work).future.result().timing
        assert timing.num_steps == 1
        assert timing.batch_rows == max(num_rows, exact.engine.info.self_test.min_rows)
        exact.require(capture.logits, start)


@pytest.mark.parametrize("num_selected", [1, 2, 7])
def test_few_rows_with_logits_of_many(exact: Exact, num_selected: int) -> None:
    sequence = exact.sequence(32)
    logits = logits_of(exact.engine, sequence, 32, IDS[32:], num_selected)
    exact.require(logits, len(IDS) - num_selected)


@pytest.mark.parametrize(
    "sizes", [[96], [64], [48], [32], [31, 33], [1, 95], [95, 1], [17, 5, 3], [13], [70, 1, 1, 24]], ids=str
)
def test_a_prompt_cut_in_any_way(exact: Exact, sizes: list[int]) -> None:
    sequence = exact.sequence()
    for position, part in cut(IDS, sizes):
        exact.require(logits_of(exact.engine, sequence, position, part), position)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@given(sizes=st.lists(st.integers(1, 70), min_size=1, max_size=6))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_prompt_cut_at_random(exact: Exact, sizes: list[int]) -> None:
    sequence = exact.sequence()
    for position, part in cut(IDS, sizes):
        exact.require(logits_of(exact.engine, sequence, position, part), position)
    exact.engine.close_sequence(sequence)


@pytest.mark.parametrize("num_others", [1, 3, 7])
def test_beside_other_sessions(exact: Exact, num_others: int) -> None:
    """Five rows are verified while others decode, verify and prefill; theirs are the same bits as alone, too."""
    engine, sequence = exact.engine, exact.sequence(60)
    prompts = [WRONG_IDS[number : number + 20 + 5 * number] for number in range(num_others)]
    num_rows = [(1, 5, 16, 20)[number % 4] for number in range(num_others)]

    def works() -> list[tuple[Capture, Work]]:
        captured = [(Capture(), *one) for one in zip(prompts, num_rows, strict=True)]
        return [
            (capture, work_of(other, len(prompt) - num, prompt[-num:], num, capture))
            for other, (capture, prompt, num) in zip(others, captured, strict=True)
        ]

    others = [engine.open_sequence() for _ in prompts]
    for other, prompt, num in zip(others, prompts, num_rows, strict=True):
        run(engine, other, 0, prompt[:-num])
    alone = works()
    for _, work in alone:
        engine.submit(work).future.result()
    capture, together = Capture(), works()
    own = work_of(sequence, 60, IDS[60:65], 5, capture)
    handles = submit_together(engine, [*(work for _, work in together), own])
    assert handles[-1].future.result().timing.batch_rows >= 5 + min(num_rows)
    exact.require(capture.logits, 60)
    for handle, (beside, _), (before, _) in zip(handles[:-1], together, alone, strict=True):
        handle.future.result()
        assert beside.logits.tobytes() == before.logits.tobytes()


@pytest.mark.parametrize("num_accepted", [0, 1, 4, 7])
@pytest.mark.parametrize("position", [40, 60])
def test_after_refused_drafts_were_rolled_back(exact: Exact, position: int, num_accepted: int) -> None:
    """Eight drafts at 40 stay in one block, at 60 they reach into the next one."""
    engine, sequence = exact.engine, exact.sequence(position)
    accepted = position + num_accepted
    drafts = IDS[position:accepted] + WRONG_IDS[accepted : position + 8]
    for _ in range(2):
        logits = logits_of(engine, sequence, position, drafts)
        exact.require(logits[:num_accepted], position)
        exact.require(logits_of(engine, sequence, accepted, IDS[accepted : accepted + 3]), accepted)
    exact.require(logits_of(engine, sequence, accepted + 3, IDS[accepted + 3 :]), accepted + 3)


def test_after_a_rollback_into_the_prompt(exact: Exact) -> None:
    sequence = exact.sequence(len(IDS))
    run(exact.engine, sequence, 20, WRONG_IDS[20:70])
    exact.require(logits_of(exact.engine, sequence, 20, IDS[20:]), 20)


def test_after_an_eviction(exact: Exact) -> None:
    sequence = exact.sequence(90)
    forget_all(exact.engine)
    assert sequence.blocks == []
    capture = Capture()
    work = work_of(sequence, 90, IDS[90:], len(IDS) - 90, capture)
    result = exact.engine.submit(work).future.result()
    assert result.timing.num_cached_tokens == 0
    exact.require(capture.logits, 90)


def test_rebuilt_from_its_ids_by_another_sequence(exact: Exact) -> None:
    engine = exact.engine
    for num_known in (33, 64, 95):
        exact.sequence(num_known)
        forget_all(engine)
        exact.require(logits_of(engine, engine.open_sequence(), 0, IDS, len(IDS) - num_known), num_known)


def test_over_shared_blocks_that_were_found_by_their_content(exact: Exact) -> None:
    engine = exact.engine
    exact.sequence(len(IDS))
    sequence, capture = engine.open_sequence(), Capture()
    result = engine.submit(work_of(sequence, 0, IDS, 5, capture)).future.result()
    assert result.timing.num_cached_tokens == 2 * BLOCK_SIZE
    exact.require(capture.logits, len(IDS) - 5)


def test_over_blocks_that_refused_drafts_left_behind(exact: Exact) -> None:
    """The full block of the drafts is found by their ids, and never taken for that of the ids that replace them."""
    engine, sequence = exact.engine, exact.sequence(40)
    run(engine, sequence, 40, WRONG_IDS[40:])
    exact.require(logits_of(engine, sequence, 40, [*IDS[40:90]], 5), 85)
    drafts = engine.open_sequence()
    result = run(engine, drafts, 0, IDS[:40] + WRONG_IDS[40:], num_selected=1)
    assert result.timing.num_cached_tokens >= BLOCK_SIZE
    exact.require(logits_of(engine, sequence, 40, IDS[40:]), 40)


def test_forks_that_share_a_partly_filled_block(exact: Exact) -> None:
    engine, source = exact.engine, exact.sequence(50)
    forks = [engine.fork_sequence(source) for _ in range(3)]
    run(engine, forks[1], 45, WRONG_IDS[45:70])
    exact.require(logits_of(engine, source, 50, IDS[50:60]), 50)
    exact.require(logits_of(engine, forks[0], 50, IDS[50:70]), 50)
    exact.require(logits_of(engine, forks[2], 37, IDS[37:]), 37)
    engine.close_sequence(source)
    exact.require(logits_of(engine, forks[1], 45, IDS[45:]), 45)


def test_drawn_ids_and_verified_ids_have_the_same_logits(exact: Exact) -> None:
    """What speculation rests on: decoding one by one, and verifying the same ids as drafts."""
    engine = exact.engine
    sequence, drawn = exact.sequence(50), Capture()
    work = Work(sequence, 50, np.array(IDS[50:52], np.int64), 1, num_drawn=8, selector=drawn)
    result = engine.submit(work).future.result()
    ids = [*result.selected_ids.tolist(), *result.drawn_ids.tolist()]
    again = exact.sequence(52)
    verified = logits_of(engine, again, 51, [IDS[51], *ids[:8]])
    assert verified.tobytes() == drawn.logits.tobytes()
    assert verified.argmax(axis=1).tolist() == ids


def test_another_replica_computes_the_same_bits(exact: Exact) -> None:
    if " x " in exact.engine.info.device:
        pytest.skip("a process has one model in slices at a time")
    with exact.load(num_blocks=13) as replica:
        assert replica.info.numerics_digest == exact.engine.info.numerics_digest
        exact.require(logits_of(replica, replica.open_sequence(), 0, IDS), 0)
