"""What choosing ids costs, for each row of logits, and beside the forward pass that computes the rows.

A round of 6 rows behind 2000 ids is chosen again and again, each with a selector of its own, as the target does. With
--forward, 16 such rounds run through a real model in one pass, and their logits are the ones that are chosen from.

    python benchmarks/sampling.py --cores 0
    python benchmarks/sampling.py --cores 0,1 --forward qwen2.5-coder-1.5b-instruct
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from paceline.cli.benchmark.machine import this_machine, versions
from paceline.cli.benchmark.prompt_set import read_prompts
from paceline.cli.benchmark.spread import Spread, spread_of
from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.work import Logits, TokenIds, Work
from paceline.models.prepare import prepare
from paceline.models.tokenizer import Tokenizer
from paceline.sampling.parameters import SamplingParameters, Verification
from paceline.sampling.rejection import DraftSelector, RejectionSelector
from paceline.sampling.selector import RowSelector, selector_for

NUM_SESSIONS = 16
ROWS_PER_SESSION = 6
CONTEXT_TOKENS = 2000
NUM_REPEATS = 40
NUM_PASSES = 5
VOCABULARY_SIZES = (49_152, 151_936)
KV_CACHE_BYTES = 1 << 30
# A prompt for the pass; the rows of a round are its last ids.
PASS_TOKENS = 64

REJECTION = SamplingParameters(1.0, verification=Verification.REJECTION)
PARAMETERS = {
    "greedy": SamplingParameters(),
    "T=1": SamplingParameters(1.0),
    "T=0.3": SamplingParameters(0.3),
    "T=0.7, top_p 0.9": SamplingParameters(0.7, top_p=0.9),
    "top_k 40": SamplingParameters(1.0, top_k=40),
    "min_p 0.05": SamplingParameters(1.0, min_p=0.05),
    "T=0.8, top_k 50, top_p 0.95, min_p 0.02": SamplingParameters(0.8, top_k=50, top_p=0.95, min_p=0.02),
    "T=1, all three penalties": SamplingParameters(
        1.0,
        repetition_penalty=1.1,
        presence_penalty=0.5,
        frequency_penalty=0.3,
        num_prompt_tokens=CONTEXT_TOKENS // 2,
    ),
    "T=1, logprobs 5": SamplingParameters(1.0, num_logprobs=5),
}

# The logits and the context of a round -> nothing; what is timed.
Round = Callable[[Logits, list[int]], object]


def main() -> None:
    """Print a table for each source of logits."""
    arguments = _arguments()
    os.sched_setaffinity(0, arguments.cores)
    print(f"command: python {' '.join(sys.argv)}")
    print(f"machine: {this_machine()}\nversions: {versions()}\ncores: {arguments.cores}")
    if arguments.forward:
        logits, seconds = forward_pass(arguments)
        print(f"one pass of {len(logits)} rows, {arguments.forward}: {_cell(spread_of(seconds), 1e3, 'ms')}")
        tables, pass_seconds = [logits], float(np.median(seconds))
    else:
        tables = [synthetic_logits(size) for size in VOCABULARY_SIZES]
        pass_seconds = None
    sizes = " | ".join(f"{table.shape[1]} tokens" for table in tables)
    last_column = " | share of the pass" if pass_seconds else ""
    print(f"\n| a row, median (quartiles) | {sizes}{last_column} |")
    print("|---" * (1 + len(tables) + bool(pass_seconds)) + "|")
    for name, round_, num_rows in rounds():
        spreads = [_time(round_, table, num_rows) for table in tables]
        cells = [_cell(spread, 1e6, "µs") for spread in spreads]
        if pass_seconds:
            share = spreads[0].median * NUM_SESSIONS * ROWS_PER_SESSION / pass_seconds
            cells.append(f"{100 * share:.1f}%" if num_rows == ROWS_PER_SESSION else "in the draft's")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def rounds() -> list[tuple[str, Round, int]]:
    """Return what is timed: its name, a round, and the rows that it chooses."""
    plain = [(name, _selecting(parameters), ROWS_PER_SESSION) for name, parameters in PARAMETERS.items()]
    return [
        *plain,
        ("rejection, T=1: the draft's row", _drafting(), ROWS_PER_SESSION - 1),
        ("rejection, T=1: the target's row", _Rejecting(), ROWS_PER_SESSION),
    ]


def _selecting(parameters: SamplingParameters) -> Round:
    return lambda logits, known_ids: _choose(selector_for(parameters), logits, known_ids)


def _drafting() -> Round:
    return lambda logits, known_ids: _choose(DraftSelector(REJECTION), logits[:-1], known_ids)


class _Rejecting:
    """Judges drafts that were drawn before the clock starts."""

    def __init__(self) -> None:
        self._drafts: dict[int, tuple[TokenIds, DraftSelector]] = {}

    def prepare(self, logits: Logits, known_ids: list[int]) -> None:
        """Draft from logits that are close to the target's."""
        noise = np.random.default_rng(0).normal(0, 0.5, logits[:-1].shape).astype(np.float32)
        drafter = DraftSelector(REJECTION)
        self._drafts[logits.ctypes.data] = _choose(drafter, logits[:-1] + noise, known_ids), drafter

    def __call__(self, logits: Logits, known_ids: list[int]) -> object:
        draft_ids, drafter = self._drafts[logits.ctypes.data]
        return _choose(
            RejectionSelector(REJECTION, draft_ids.tolist(), drafter.distributions), logits, known_ids
        )


def _choose(selector: RowSelector, logits: Logits, known_ids: list[int]) -> TokenIds:
    return selector(logits, np.arange(len(logits)) + CONTEXT_TOKENS, known_ids)


def _time(round_: Round, logits: Logits, num_rows: int) -> Spread:
    """Seconds a row, over rounds with different rows."""
    vocabulary_size = logits.shape[1]
    ids = np.random.default_rng(1).integers(0, vocabulary_size, CONTEXT_TOKENS + ROWS_PER_SESSION).tolist()
    seconds: list[float] = []
    for repeat in range(NUM_REPEATS + 1):
        start = repeat % NUM_SESSIONS * ROWS_PER_SESSION
        part = logits[start : start + ROWS_PER_SESSION]
        if isinstance(round_, _Rejecting):
            round_.prepare(part, ids)
        started = perf_counter()
        round_(part, ids)
        seconds.append((perf_counter() - started) / num_rows)
    spread = spread_of(seconds[1:])
    assert spread is not None
    return spread


def synthetic_logits(vocabulary_size: int) -> Logits:
    """Rows like those of real models: about 80 tokens within 8 of the highest, most of the others 15 to 25 below."""
    generator = np.random.default_rng(0)
    num_rows = NUM_SESSIONS * ROWS_PER_SESSION
    rows = generator.normal(0.0, 2.5, (num_rows, vocabulary_size)).astype(np.float32)
    heights = 20.0 - 2.0 * np.log1p(np.arange(300)) + generator.normal(0, 1, (num_rows, 300))
    for row, height in zip(rows, heights, strict=True):
        row[generator.choice(vocabulary_size, 300, replace=False)] = height
    return rows


def forward_pass(arguments: argparse.Namespace) -> tuple[Logits, list[float]]:
    """Return the logits of one pass over all sessions' rows, and the seconds that such passes took."""
    directory = prepare(arguments.forward, arguments.weights)
    num_rows = NUM_SESSIONS * ROWS_PER_SESSION
    config = EngineConfig(
        directory,
        KV_CACHE_BYTES,
        len(arguments.cores),
        max_rows_per_step=num_rows,
        batch_invariant="prefer",
    )
    text = "\n\n".join(prompt.text for prompt in read_prompts("all"))
    ids = np.array(Tokenizer.load(directory).encode(text, parse_special=False))
    starts = range(0, NUM_SESSIONS * PASS_TOKENS, PASS_TOKENS)
    prompts = [np.resize(ids, NUM_SESSIONS * PASS_TOKENS)[start : start + PASS_TOKENS] for start in starts]
    collected: list[Logits] = []

    def keep(logits: Logits, _positions: TokenIds, _known_ids: Sequence[int]) -> TokenIds:
        collected.append(logits.copy())
        return logits.argmax(axis=1)

    seconds: list[float] = []
    with Engine.load(config) as engine:
        sequences = [engine.open_sequence() for _ in prompts]
        position = PASS_TOKENS - ROWS_PER_SESSION
        works = [Work(one, 0, prompt[:position]) for one, prompt in zip(sequences, prompts, strict=True)]
        for handle in [engine.submit(work) for work in works]:
            handle.future.result()
        while len(seconds) < NUM_PASSES:
            collected.clear()
            # While this runs all rounds arrive, so that they share the pass after it.
            blocker = engine.open_sequence()
            blocking = engine.submit(Work(blocker, 0, prompts[0][::-1].copy()))
            rounds_ = [
                engine.submit(Work(one, position, prompt[position:], ROWS_PER_SESSION, selector=keep))
                for one, prompt in zip(sequences, prompts, strict=True)
            ]
            timings = [handle.future.result().timing for handle in rounds_]
            blocking.future.result()
            engine.close_sequence(blocker)
            if all(timing.batch_rows == num_rows for timing in timings):
                seconds.append(min(timing.compute_ns for timing in timings) / 1e9)
    return np.concatenate(collected), seconds


def _cell(spread: Spread | None, scale: float, unit: str) -> str:
    assert spread is not None
    return f"{spread.median * scale:.0f} ({spread.low * scale:.0f}-{spread.high * scale:.0f}) {unit}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cores", type=lambda text: [int(core) for core in text.split(",")], default=[0])
    parser.add_argument(
        "--forward", help="a model whose forward pass is timed too, and whose logits are used"
    )
    parser.add_argument("--weights", default="int8")
    return parser.parse_args()


if __name__ == "__main__":
    main()
