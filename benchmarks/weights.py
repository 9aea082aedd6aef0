"""Which weights and which precision: speed, memory and faithfulness of one model in every format, in one run.

Each candidate is WEIGHTS:COMPUTE:KV[:GROUP[:HEAD]]: GROUP is the activation group size, the device's own where it is
left out, and HEAD exact or fast. WEIGHTS@SOURCE is the same model from another place (a directory that optimum-intel
exported, say). Each is loaded and compared in a process of its own, pinned to the cores given; then all are timed in
turn in one process, so that what else the machine does falls on all of them alike: their memory must fit.
Faithfulness is measured against the first candidate, teacher-forced over the same text: how often the highest logit is
the same token, the mean KL divergence (nats a token), and the perplexity of the text.

    python benchmarks/weights.py --model qwen2.5-coder-1.5b-instruct --cores 1 \
        --candidates f16:f32:f32,f16:bf16:bf16,int8:f32:f32,int8:bf16:bf16,int4:f32:f32
    python benchmarks/weights.py --model qwen2.5-coder-0.5b-instruct --cores 0 \
        --candidates int4:f32:f32:32,int4:f32:f32:128,int4:f32:f32:128:fast
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence as Ids
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from time import monotonic

import numpy as np

from paceline.cli.benchmark.machine import this_machine, versions
from paceline.cli.benchmark.prompt_set import read_prompts
from paceline.engine.config import HeadKind
from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.sequence import Sequence
from paceline.engine.work import Logits, TokenIds, Work
from paceline.models.prepare import prepare
from paceline.models.tokenizer import Tokenizer

CONTEXT_TOKENS = 256
ROW_COUNTS = (1, 2, 4, 6, 9, 16)
KV_CACHE_BYTES = 512 << 20
TIMED_KV_CACHE_BYTES = 64 << 20
# The child that times all candidates, instead of one of them.
IN_TURN = "in-turn"


@dataclass(frozen=True)
class Candidate:
    """One way to hold and compute a model."""

    source: str
    weights: str
    compute: str
    kv: str
    group_size: int | None = None
    head: HeadKind = "exact"

    @classmethod
    def parse(cls, text: str, model: str) -> "Candidate":
        """Read WEIGHTS[@SOURCE]:COMPUTE:KV[:GROUP[:HEAD]]; the source is `model` where none is named."""
        place, compute, kv, *rest = text.split(":")
        weights, _, source = place.partition("@")
        group_size = int(rest[0]) if rest else None
        return cls(
            source or model, weights, compute, kv, group_size, "fast" if rest[1:] == ["fast"] else "exact"
        )

    def load(self, num_threads: int, kv_cache_bytes: int = KV_CACHE_BYTES) -> Engine:
        """Load it, prepared already or not."""
        return Engine.load(
            EngineConfig(
                prepare(self.source, self.weights),
                kv_cache_bytes,
                num_threads,
                compute_precision=self.compute,
                kv_precision=self.kv,
                activation_group_size=self.group_size,
                head=self.head,
                batch_invariant="prefer",
                self_test="always",
            )
        )


def main() -> None:
    """Measure all candidates and print a table, or be the child that measures one."""
    arguments = _arguments()
    if arguments.one == IN_TURN:
        print(json.dumps(time_in_turn(arguments)))
        return
    if arguments.one:
        print(json.dumps(measure(arguments, Candidate.parse(arguments.one, arguments.model))))
        return
    print(f"command: python {' '.join(sys.argv)}")
    print(f"machine: {this_machine()}\nversions: {versions()}\ncores: {arguments.cores}")
    print("| candidate | prepare s | load s | MiB | prefill tok/s | same top-1 | KL | ppl |")
    print("|---" * 8 + "|")
    with tempfile.TemporaryDirectory() as folder:
        for candidate in arguments.candidates.split(","):
            print(_row(candidate, _child(candidate, folder)), flush=True)
        timed = _child(IN_TURN, folder)
    print(f"\n| candidate, ms | {' | '.join(f'{rows} rows' for rows in ROW_COUNTS)} |")
    print("|---" * (len(ROW_COUNTS) + 1) + "|")
    if timed.returncode:
        print(f"| failed: {_reason(timed)} |")
        return
    for candidate, steps in json.loads(timed.stdout).items():
        cells = [f"{middle:.1f} ({low:.1f}-{high:.1f})" for middle, low, high in steps.values()]
        print(f"| {candidate} | {' | '.join(cells)} |")


def _child(one: str, folder: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *sys.argv, "--one", one, "--folder", folder]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _reason(child: "subprocess.CompletedProcess[str]") -> str:
    return (child.stderr.strip().splitlines() or [f"exit {child.returncode}"])[-1]


def measure(arguments: argparse.Namespace, candidate: Candidate) -> dict[str, object]:
    """Prepare, load, time and compare one candidate."""
    os.sched_setaffinity(0, arguments.cores)
    started = monotonic()
    directory = prepare(candidate.source, candidate.weights)
    prepared = monotonic()
    with candidate.load(len(arguments.cores)) as engine:
        loaded = monotonic()
        faithfulness, prefill = compare(engine, Tokenizer.load(directory), arguments)
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return {
            "prepare": prepared - started,
            "load": loaded - prepared,
            "mib": peak_mib,
            "prefill": prefill,
            "invariance": engine.info.self_test.failed_checks
            or f"from {engine.info.self_test.min_rows} rows",
            **faithfulness,
        }


def time_in_turn(arguments: argparse.Namespace) -> dict[str, dict[int, list[float]]]:
    """Return the median and the quartiles, in milliseconds, of a pass with so many rows of one sequence."""
    os.sched_setaffinity(0, arguments.cores)
    texts: list[str] = arguments.candidates.split(",")
    times = {text: {rows: [] for rows in ROW_COUNTS} for text in texts}
    with ExitStack() as stack:
        engines = {
            text: stack.enter_context(
                Candidate.parse(text, arguments.model).load(len(arguments.cores), TIMED_KV_CACHE_BYTES)
            )
            for text in texts
        }
        sequences = {text: _sequence_with_context(engine) for text, engine in engines.items()}
        for repeat in range(arguments.num_repeats + 1):
            for text, engine in engines.items():
                for num_rows in ROW_COUNTS:
                    spent = _time_pass(engine, sequences[text], num_rows, repeat)
                    times[text][num_rows] += [spent] if repeat else []
    return {text: {rows: _spread(one) for rows, one in of_rows.items()} for text, of_rows in times.items()}


def _sequence_with_context(engine: Engine) -> Sequence:
    sequence = engine.open_sequence()
    engine.submit(Work(sequence, 0, np.arange(1000, 1000 + CONTEXT_TOKENS))).future.result()
    return sequence


def _time_pass(engine: Engine, sequence: Sequence, num_rows: int, repeat: int) -> float:
    # Other ids each time, so that nothing is reused.
    rows = np.arange(num_rows) + 5000 + 100 * repeat
    work = Work(sequence, CONTEXT_TOKENS, rows, num_selected=num_rows)
    return engine.submit(work).future.result().timing.compute_ns / 1e6


def _spread(times: list[float]) -> list[float]:
    low, _, high = quantiles(times, n=4)
    return [median(times), low, high]


def compare(
    engine: Engine, tokenizer: Tokenizer, arguments: argparse.Namespace
) -> tuple[dict[str, float], float]:
    """Return faithfulness to the reference, and prefill tokens a second."""
    reference = Path(arguments.folder) / "reference.npy"
    text = "\n\n".join(prompt.text for prompt in read_prompts("all"))
    ids = np.array(tokenizer.encode(text, parse_special=False)[: arguments.num_tokens])
    started = monotonic()
    log_probs = _log_probs(engine, engine.open_sequence(), ids)
    rate = len(ids) / (monotonic() - started)
    if not reference.exists():
        np.save(reference, log_probs)
    expected = np.load(reference, mmap_mode="r")
    divergence = [
        float((np.exp(one) * (one - other)).sum()) for one, other in zip(expected, log_probs, strict=True)
    ]
    likelihood = log_probs[np.arange(len(ids) - 1), ids[1:]]
    return {
        "same": float((expected.argmax(axis=1) == log_probs.argmax(axis=1)).mean()),
        "kl": float(np.mean(divergence)),
        "perplexity": float(np.exp(-likelihood.mean())),
    }, rate


def _log_probs(engine: Engine, sequence: Sequence, ids: TokenIds) -> Logits:
    """Log-probabilities of every row, [num_tokens, vocab_size]."""
    rows: list[Logits] = []

    def keep(logits: Logits, _positions: TokenIds, _token_ids: Ids[int]) -> TokenIds:
        wide = logits - logits.max(axis=1, keepdims=True)
        rows.append(wide - np.log(np.exp(wide).sum(axis=1, keepdims=True)))
        return logits.argmax(axis=1)

    engine.submit(Work(sequence, 0, ids, num_selected=len(ids), selector=keep)).future.result()
    return np.concatenate(rows)


def _row(candidate: str, child: "subprocess.CompletedProcess[str]") -> str:
    if child.returncode:
        return f"| {candidate} | failed: {_reason(child)} |"
    found = json.loads(child.stdout)
    numbers = [
        f"{found['prepare']:.1f}",
        f"{found['load']:.1f}",
        str(found["mib"]),
        f"{found['prefill']:.0f}",
    ]
    quality = [f"{found['same']:.4f}", f"{found['kl']:.5f}", f"{found['perplexity']:.3f}"]
    return f"| {candidate} ({found['invariance']}) | {' | '.join([*numbers, *quality])} |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a name of the catalogue or a GGUF file")
    parser.add_argument("--candidates", required=True, help="as above, with commas; the first is the truth")
    parser.add_argument("--cores", type=lambda text: [int(core) for core in text.split(",")], default=[0])
    parser.add_argument("--num-tokens", type=int, default=512, help="tokens of text that are compared")
    parser.add_argument("--num-repeats", type=int, default=9, help="passes of each size that are timed")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", default=".", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
