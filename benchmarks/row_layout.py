"""What batch invariance costs: every row its own subsequence against chunks, for prefill and for verification.

python benchmarks/row_layout.py --model qwen2.5-coder-0.5b-instruct --weights int8 --cores 0
"""

import argparse
import itertools
import os
import sys
from collections.abc import Sequence as Ids
from statistics import median, quantiles

import numpy as np

from paceline.cli.benchmark.machine import this_machine, versions
from paceline.engine.config import Invariance
from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.work import Logits, TokenIds, Work
from paceline.models.prepare import prepare

KV_CACHE_BYTES = 512 << 20
NUM_REPEATS = 5
PREFILL_TOKENS = 256
CONTEXTS = (0, 1024, 2048)
VERIFY_CONTEXT = 300


def main() -> None:
    """Print a table of both layouts, measured in turn."""
    arguments = _arguments()
    os.sched_setaffinity(0, arguments.cores)
    print(f"command: python {' '.join(sys.argv)}")
    print(f"machine: {this_machine()}\nversions: {versions()}\ncores: {arguments.cores}")
    layouts: dict[str, Invariance] = {"rows": "prefer", "chunks": "off"}
    engines = {name: _load(arguments, invariance) for name, invariance in layouts.items()}
    print("| what | rows, ms | chunks, ms | ratio |\n|---|---|---|---|")
    for context in CONTEXTS:
        _print_row(
            f"prefill {PREFILL_TOKENS} tokens after {context}",
            engines,
            context,
            PREFILL_TOKENS,
            num_selected=1,
        )
    for num_rows in (1, 2, 5, 9):
        _print_row(
            f"verify {num_rows} rows after {VERIFY_CONTEXT}", engines, VERIFY_CONTEXT, num_rows, num_rows
        )
    for name, engine in engines.items():
        print(
            f"{name}: verifying 9 rows at once equals one by one in {_num_equal(engine)} of 9 rows, bit for bit"
        )
        engine.close()


def _print_row(
    what: str, engines: dict[str, Engine], context: int, num_tokens: int, num_selected: int
) -> None:
    times: dict[str, list[float]] = {name: [] for name in engines}
    for repeat in range(NUM_REPEATS):
        for name, engine in engines.items():
            times[name].append(_time(engine, context, num_tokens, num_selected, seed=repeat))
    cells: list[str] = []
    for measured in times.values():
        low, _, high = quantiles(measured, n=4)
        cells.append(f"{median(measured):.1f} ({low:.1f}-{high:.1f})")
    ratio = median(times["rows"]) / median(times["chunks"])
    print(f"| {what} | {' | '.join(cells)} | {ratio:.2f} |", flush=True)


def _time(engine: Engine, context: int, num_tokens: int, num_selected: int, seed: int) -> float:
    """Milliseconds to append tokens to a sequence of `context` tokens that no other shares."""
    ids = np.random.default_rng(seed).integers(1000, 40000, context + num_tokens)
    sequence = engine.open_sequence()
    engine.submit(Work(sequence, 0, ids[:context])).future.result()
    work = Work(sequence, context, ids[context:], num_selected=num_selected)
    result = engine.submit(work).future.result()
    engine.close_sequence(sequence)
    return result.timing.compute_ns / 1e6


def _num_equal(engine: Engine) -> int:
    """Rows of 9 whose logits are the same bits when they run one by one."""
    ids = np.random.default_rng(99).integers(1000, 40000, VERIFY_CONTEXT + 9)
    kept: list[Logits] = []

    def keep(logits: Logits, _positions: TokenIds, _token_ids: Ids[int]) -> TokenIds:
        kept.extend(logits.copy())
        return logits.argmax(axis=1)

    for cuts in ([VERIFY_CONTEXT, VERIFY_CONTEXT + 9], list(range(VERIFY_CONTEXT, VERIFY_CONTEXT + 10))):
        sequence = engine.open_sequence()
        engine.submit(Work(sequence, 0, ids[:VERIFY_CONTEXT])).future.result()
        for start, stop in itertools.pairwise(cuts):
            work = Work(sequence, start, ids[start:stop], num_selected=stop - start, selector=keep)
            engine.submit(work).future.result()
        engine.close_sequence(sequence)
    return sum(
        at_once.tobytes() == alone.tobytes() for at_once, alone in zip(kept[:9], kept[9:], strict=True)
    )


def _load(arguments: argparse.Namespace, invariance: Invariance) -> Engine:
    directory = prepare(arguments.model, arguments.weights)
    config = EngineConfig(
        directory,
        KV_CACHE_BYTES,
        len(arguments.cores),
        compute_precision=arguments.compute_precision,
        batch_invariant=invariance,
    )
    return Engine.load(config)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a name of the catalogue or a GGUF file")
    parser.add_argument("--weights", default="int8")
    parser.add_argument("--compute-precision", default="auto")
    parser.add_argument("--cores", type=lambda text: [int(core) for core in text.split(",")], default=[0])
    return parser.parse_args()


if __name__ == "__main__":
    main()
