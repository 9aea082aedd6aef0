"""Which weights and which precision: speed, memory and faithfulness of one model in every format, in one run.

Each candidate is WEIGHTS:COMPUTE:KV, or WEIGHTS@SOURCE:COMPUTE:KV for the same model from another place (a directory
that optimum-intel exported, say), and runs in a process of its own, pinned to the cores given. Faithfulness is
measured against the first candidate, teacher-forced over the same text: how often the highest logit is the same
token, the mean KL divergence (nats a token), and the perplexity of the text.

    python benchmarks/weights.py --model qwen2.5-coder-1.5b-instruct --cores 1 \
        --candidates f16:f32:f32,f16:bf16:bf16,int8:f32:f32,int8:bf16:bf16,int4:f32:f32
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence as Ids
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from time import monotonic

import numpy as np

from paceline.cli.benchmark.machine import this_machine, versions
from paceline.cli.benchmark.prompt_set import read_prompts
from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.sequence import Sequence
from paceline.engine.work import Logits, TokenIds, Work
from paceline.models.prepare import prepare
from paceline.models.tokenizer import Tokenizer

CONTEXT_TOKENS = 256
ROW_COUNTS = (1, 2, 4, 6, 9, 16)
NUM_REPEATS = 9
KV_CACHE_BYTES = 512 << 20


@dataclass(frozen=True)
class Candidate:
    """One way to hold and compute a model."""

    source: str
    weights: str
    compute: str
    kv: str

    @classmethod
    def parse(cls, text: str, model: str) -> "Candidate":
        """Read WEIGHTS[@SOURCE]:COMPUTE:KV; the source is `model` where none is named."""
        place, compute, kv = text.split(":")
        weights, _, source = place.partition("@")
        return cls(source or model, weights, compute, kv)


def main() -> None:
    """Measure all candidates and print a table, or be the child that measures one."""
    arguments = _arguments()
    if arguments.one:
        print(json.dumps(measure(arguments, Candidate.parse(arguments.one, arguments.model))))
        return
    print(f"command: python {' '.join(sys.argv)}")
    print(f"machine: {this_machine()}\nversions: {versions()}\ncores: {arguments.cores}")
    columns = " | ".join(f"{rows} rows" for rows in ROW_COUNTS)
    print(
        f"| weights:compute:KV | prepare s | load s | MiB | {columns} | prefill tok/s | same top-1 | KL | ppl |"
    )
    print("|---" * (len(ROW_COUNTS) + 8) + "|")
    with tempfile.TemporaryDirectory() as folder:
        for candidate in arguments.candidates.split(","):
            command = [sys.executable, *sys.argv, "--one", candidate, "--folder", folder]
            child = subprocess.run(command, capture_output=True, text=True, check=False)
            print(_row(candidate, child), flush=True)


def measure(arguments: argparse.Namespace, candidate: Candidate) -> dict[str, object]:
    """Prepare, load, time and compare one candidate."""
    os.sched_setaffinity(0, arguments.cores)
    started = monotonic()
    directory = prepare(candidate.source, candidate.weights)
    prepared = monotonic()
    config = EngineConfig(
        directory,
        KV_CACHE_BYTES,
        len(arguments.cores),
        compute_precision=candidate.compute,
        kv_precision=candidate.kv,
        batch_invariant="prefer",
    )
    with Engine.load(config) as engine:
        loaded = monotonic()
        faithfulness, prefill = compare(engine, Tokenizer.load(directory), arguments)
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return {
            "prepare": prepared - started,
            "load": loaded - prepared,
            "mib": peak_mib,
            "steps": {rows: time_step(engine, rows) for rows in ROW_COUNTS},
            "prefill": prefill,
            "invariance": engine.info.self_test.failed_checks
            or f"from {engine.info.self_test.min_rows} rows",
            **faithfulness,
        }


def time_step(engine: Engine, num_rows: int) -> list[float]:
    """Return the median and the quartiles, in milliseconds, of a pass with `num_rows` rows of one sequence."""
    sequence = engine.open_sequence()
    context = np.arange(1000, 1000 + CONTEXT_TOKENS)
    engine.submit(Work(sequence, 0, context)).future.result()
    rows = np.arange(5000, 5000 + num_rows)
    times: list[float] = []
    for _ in range(NUM_REPEATS):
        work = Work(sequence, CONTEXT_TOKENS, rows, num_selected=num_rows)
        times.append(engine.submit(work).future.result().timing.compute_ns / 1e6)
        rows = rows + 100  # other ids, so that nothing is reused
    engine.close_sequence(sequence)
    low, _, high = quantiles(times[1:], n=4)
    return [median(times[1:]), low, high]


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
        reason = child.stderr.strip().splitlines()[-1:] or [f"exit {child.returncode}"]
        return f"| {candidate} | failed: {reason[0]} |"
    found = json.loads(child.stdout)
    steps = [f"{middle:.1f} ({low:.1f}-{high:.1f})" for middle, low, high in found["steps"].values()]
    numbers = [
        f"{found['prepare']:.1f}",
        f"{found['load']:.1f}",
        str(found["mib"]),
        *steps,
        f"{found['prefill']:.0f}",
    ]
    quality = [f"{found['same']:.4f}", f"{found['kl']:.5f}", f"{found['perplexity']:.3f}"]
    return f"| {candidate} ({found['invariance']}) | {' | '.join([*numbers, *quality])} |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a name of the catalogue or a GGUF file")
    parser.add_argument(
        "--candidates", required=True, help="WEIGHTS:COMPUTE:KV, with commas; the first is the truth"
    )
    parser.add_argument("--cores", type=lambda text: [int(core) for core in text.split(",")], default=[0])
    parser.add_argument("--num-tokens", type=int, default=512, help="tokens of text that are compared")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", default=".", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
