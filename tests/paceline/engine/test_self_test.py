"""The self-test finds out how many rows a runner needs, and names what depends on the batch."""

from collections.abc import Callable

import numpy as np
import pytest

from paceline.engine.batch import Batch
from paceline.engine.errors import SelfTestError
from paceline.engine.model_runner import ModelRunner
from paceline.engine.self_test import SelfTestReport, check_finite, run_self_test
from paceline.engine.work import Logits
from tests.paceline.engine.hash_runner import VOCABULARY_SIZE, HashRunner

NUM_BLOCKS = 100


class SmallBatchesDiffer(HashRunner):
    """Runs other kernels below a number of rows, or of rows with logits."""

    def __init__(self, num_rows: int = 0, num_logits: int = 0) -> None:
        super().__init__(NUM_BLOCKS)
        self._num_rows = num_rows
        self._num_logits = num_logits

    def forward(self, batch: Batch) -> Logits:
        is_small = batch.num_rows < self._num_rows or len(batch.inputs["logit_rows"]) < self._num_logits
        return super().forward(batch) * np.float32(1 + is_small * 2**-20)


class EveryPassDiffers(HashRunner):
    """Is never the same."""

    num_passes = 0

    def forward(self, batch: Batch) -> Logits:
        self.num_passes += 1
        return super().forward(batch) * self.num_passes


class RefusedIdsLinger(HashRunner):
    """Computes other bits where the pass before had other ids at the same positions."""

    def __init__(self, num_blocks: int) -> None:
        super().__init__(num_blocks)
        self._last: dict[int, int] = {}

    def forward(self, batch: Batch) -> Logits:
        ids, positions = batch.inputs["input_ids"].tolist(), batch.inputs["position_ids"].tolist()
        now = {position: token_id for position, token_id in zip(positions, ids, strict=True) if position}
        num_replaced = sum(
            self._last.get(position, token_id) != token_id for position, token_id in now.items()
        )
        self._last = now
        return super().forward(batch) * np.float32(1 + num_replaced)


class BlocksDiffer(HashRunner):
    """Computes other bits in other places."""

    def forward(self, batch: Batch) -> Logits:
        return super().forward(batch) + batch.inputs["block_indices"][0]


class NotFinite(HashRunner):
    """Overflows."""

    def forward(self, batch: Batch) -> Logits:
        return super().forward(batch) * np.float32(np.nan)


def report_of(runner: HashRunner) -> SelfTestReport:
    return run_self_test(as_runner(runner), VOCABULARY_SIZE)


def as_runner(runner: HashRunner) -> ModelRunner:
    return runner  # pyright: ignore[reportReturnType] - a stand-in of the same shape


def test_a_runner_whose_rows_depend_on_nothing_else_needs_one_row() -> None:
    report = report_of(HashRunner(NUM_BLOCKS))
    assert (report.batch_invariant, report.min_rows, report.failed_checks) == (True, 1, ())
    assert report.num_rows_compared == 5 * 16


@pytest.mark.parametrize(("needed", "min_rows"), [(1, 1), (2, 2), (3, 4), (5, 8), (8, 8), (9, 16), (32, 32)])
@pytest.mark.parametrize("what", ["num_rows", "num_logits"])
def test_the_fewest_rows_that_give_the_bits_of_a_large_batch_are_found(
    what: str, needed: int, min_rows: int
) -> None:
    report = report_of(SmallBatchesDiffer(**{what: needed}))
    assert (report.batch_invariant, report.min_rows, report.failed_checks) == (True, min_rows, ())


@pytest.mark.parametrize(("num_threads", "min_rows"), [(1, 1), (2, 2), (6, 6), (48, 48), (192, 192)])
def test_fewer_rows_than_threads_are_never_tried(num_threads: int, min_rows: int) -> None:
    """A device splits the attention of so few rows in another way, which the compared rows may not show."""
    runner = HashRunner(NUM_BLOCKS)
    runner.least_rows = num_threads
    assert report_of(runner).min_rows == min_rows


def test_more_rows_than_threads_are_tried_where_threads_are_not_enough() -> None:
    runner = SmallBatchesDiffer(num_rows=7)
    runner.least_rows = 6
    assert report_of(runner).min_rows == 8


@pytest.mark.parametrize(
    ("runner", "check"),
    [
        (SmallBatchesDiffer(num_rows=40), "one row a pass"),
        (EveryPassDiffers(NUM_BLOCKS), "one row a pass"),
        (RefusedIdsLinger(NUM_BLOCKS), "rollback"),
        (BlocksDiffer(NUM_BLOCKS), "rebuild"),
    ],
)
def test_a_runner_that_is_never_invariant_is_reported_with_the_check_that_failed(
    runner: HashRunner, check: str
) -> None:
    report = report_of(runner)
    assert (report.batch_invariant, report.min_rows, report.failed_checks) == (False, 1, (check,))


@pytest.mark.parametrize("test", [run_self_test, check_finite])
def test_logits_that_are_not_finite_are_refused(test: Callable[[ModelRunner, int], SelfTestReport]) -> None:
    with pytest.raises(SelfTestError) as caught:
        test(as_runner(NotFinite(NUM_BLOCKS)), VOCABULARY_SIZE)
    assert caught.value.facts == {"check": "finite logits"}


def test_where_no_exactness_is_promised_none_is_reported() -> None:
    report = check_finite(as_runner(HashRunner(NUM_BLOCKS)), VOCABULARY_SIZE)
    assert (report.batch_invariant, report.failed_checks) == (False, ("not run",))


def test_the_digest_names_the_computed_bits() -> None:
    digest = report_of(HashRunner(NUM_BLOCKS)).numerics_digest
    assert report_of(HashRunner(NUM_BLOCKS, block_size=8)).numerics_digest == digest
    assert report_of(SmallBatchesDiffer(num_rows=2)).numerics_digest == digest
    assert report_of(SmallBatchesDiffer(num_rows=200)).numerics_digest != digest
