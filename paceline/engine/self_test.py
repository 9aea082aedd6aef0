"""The start-up self-test: are this model's logits, on this device, independent of how rows meet?

Every check computes the same last rows of one sequence in another way and compares the bits of all logits. The
smallest number of rows that passes becomes the engine's `min_rows`: below it a device runs other kernels (measured:
8 rows with AMX in bf16). Fewer rows than threads are never tried: OpenVINO's paged attention then splits each row's
blocks over the threads, and in bf16 that shows in so few rows (1 in 10) that the compared ones may miss it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from time import monotonic_ns

import numpy as np

from paceline.engine.batch import Rows, split_batch
from paceline.engine.errors import SelfTestError
from paceline.engine.model_runner import ModelRunner
from paceline.engine.work import Logits

NUM_TOKENS = (
    112  # several blocks of 32: the longer the context, the more rows show another order of summation
)
NUM_COMPARED = 16  # the last of them
ROW_COUNTS = (1, 2, 4, 8, 16, 32)
LARGE_BATCH = 64


@dataclass(frozen=True)
class SelfTestReport:
    """What the self-test found.

    Attributes:
        batch_invariant: Every row was bit-identical however it was computed.
        min_rows: Fewest rows of a pass for which that holds.
        num_rows_compared: Logit rows compared bit by bit.
        failed_checks: Names of the checks that failed with the largest `min_rows`, empty if `batch_invariant`.
        numerics_digest: Digest of the computed bits; replicas with equal digests compute alike.
        longest_pass_ns: The longest that one of its passes took.
    """

    batch_invariant: bool
    min_rows: int
    num_rows_compared: int
    failed_checks: tuple[str, ...]
    numerics_digest: str
    longest_pass_ns: int = 0


def run_self_test(
    runner: ModelRunner, vocabulary_size: int, known: SelfTestReport | None = None
) -> SelfTestReport:
    """Compute the same rows in many ways; takes the first blocks of the cache, so run it before any sequence.

    `known` is what was found before under the same circumstances: if the first rows have its bits, it is returned with
    the duration of this pass. Raises SelfTestError where the logits are not finite.
    """
    probe = _Probe(runner, vocabulary_size)
    if known is not None and known.numerics_digest == probe.digest:
        return replace(known, longest_pass_ns=probe.longest_pass_ns)
    failed: tuple[str, ...] = ()
    for min_rows in _row_counts(runner.least_rows):
        failed = probe.failed_checks(min_rows)
        if not failed:
            return probe.report(min_rows, ())
    return probe.report(1, failed)


def _row_counts(least_rows: int) -> list[int]:
    """What to try, the fewest rows first."""
    return [least_rows, *(count for count in ROW_COUNTS if count > least_rows)]


def check_finite(runner: ModelRunner, vocabulary_size: int) -> SelfTestReport:
    """Compute rows once, for a replica that promises no exactness; raises SelfTestError as `run_self_test` does."""
    return _Probe(runner, vocabulary_size).report(1, ("not run",))


@dataclass
class _Probe:
    runner: ModelRunner
    vocabulary_size: int
    num_rows_compared: int = 0
    longest_pass_ns: int = 0
    expected: Logits = field(init=False)

    def __post_init__(self) -> None:
        generator = np.random.default_rng(0)
        self._ids = generator.integers(0, self.vocabulary_size, NUM_TOKENS).tolist()
        self._other_ids = generator.integers(0, self.vocabulary_size, NUM_COMPARED).tolist()
        self.expected = self._run(
            [(0, NUM_TOKENS)], self._blocks(0), 0, max(LARGE_BATCH, self.runner.least_rows)
        )
        if not np.isfinite(self.expected).all():
            message = "The model computes NaN or infinite logits in this precision; choose another one."
            raise SelfTestError(message, check="finite logits")

    @property
    def digest(self) -> str:
        return blake2b(self.expected.tobytes(), digest_size=16).hexdigest()

    def report(self, min_rows: int, failed: tuple[str, ...]) -> SelfTestReport:
        return SelfTestReport(
            not failed, min_rows, self.num_rows_compared, failed, self.digest, self.longest_pass_ns
        )

    def failed_checks(self, min_rows: int) -> tuple[str, ...]:
        """Names of the checks that fail; the first failure ends the search, since a larger `min_rows` comes next."""
        for name, check in self._checks():
            self.num_rows_compared += NUM_COMPARED
            if check(min_rows).tobytes() != self.expected.tobytes():
                return (name,)
        return ()

    def _checks(self) -> Iterator[tuple[str, Callable[[int], Logits]]]:
        last = NUM_TOKENS - NUM_COMPARED
        one_by_one = [(position, position + 1) for position in range(last, NUM_TOKENS)]
        yield "one row a pass", lambda rows: self._run(one_by_one, self._blocks(0), 0, rows)
        yield (
            "a few rows a pass",
            lambda rows: self._run([(last, last + 3), (last + 3, NUM_TOKENS)], self._blocks(0), 0, rows),
        )
        yield (
            "beside other sequences",
            lambda rows: self._run([(last, last + 5), (last + 5, NUM_TOKENS)], self._blocks(0), 14, rows),
        )
        yield "rollback", self._rolled_back
        yield "rebuild", lambda rows: self._run([(0, 7), (7, 20), (20, NUM_TOKENS)], self._blocks(1), 3, rows)

    def _rolled_back(self, min_rows: int) -> Logits:
        """Wrong ids first, as refused drafts are, then the right ones over them."""
        last, blocks = NUM_TOKENS - NUM_COMPARED, self._blocks(0)
        wrong = Rows(self._other_ids[:NUM_COMPARED], last, blocks, NUM_COMPARED)
        self.runner.forward(split_batch([wrong], min_rows, self.runner.block_size))
        return self._run([(last, NUM_TOKENS)], blocks, 0, min_rows)

    def _run(self, cuts: list[tuple[int, int]], blocks: list[int], num_beside: int, min_rows: int) -> Logits:
        """Run the sequence's rows cut after cut; return the logits of the last NUM_COMPARED of them."""
        logits: list[Logits] = []
        beside = [Rows([one], 0, self._blocks(2), 1) for one in self._other_ids[:num_beside]]
        for start, stop in cuts:
            num_logits = max(0, stop - max(start, NUM_TOKENS - NUM_COMPARED))
            rows = Rows(self._ids[start:stop], start, blocks, num_logits)
            batch = split_batch([rows, *beside], min_rows, self.runner.block_size)
            started_ns = monotonic_ns()
            logits.append(self.runner.forward(batch)[:num_logits].copy())
            self.longest_pass_ns = max(self.longest_pass_ns, monotonic_ns() - started_ns)
        return np.concatenate(logits)

    def _blocks(self, number: int) -> list[int]:
        """Blocks of the probe's sequence `number`, behind the padding block."""
        num_blocks = -(-NUM_TOKENS // self.runner.block_size)
        return [
            1 + (number * num_blocks + index) % (self.runner.num_blocks - 1) for index in range(num_blocks)
        ]
