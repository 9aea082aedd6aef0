"""What a pass of the torch engine costs beside the floor that the device's memory sets: decoding, verifying, exactness.

A model with random weights in the shape of a published one, or a Hugging Face directory, is loaded as the target
service loads it. Each case runs so many rows of so many sessions behind a context: 1 row decodes, 5 and 9 verify 4 and
8 draft tokens. Timed is what the engine waits for, from handing a batch over to having the greedily chosen ids on the
host; every session has KV blocks of its own. The floor is the time in which the weights and the sessions' KV can be
read at the bandwidth that large copies on the device show, bytes read and bytes written counted.

Modes: `exact` gives every row the same bits in any company (`--batch-invariant require`), `off` promises nothing. Exact
passes are measured with each `--attention` and each `--cuda-graphs` that is named. Each way is loaded by itself; in it
numbers of rows take turns.

    python -m benchmarks.accelerator                                  # Llama-3.1-8B's shape, bf16, on the GPU
    python -m benchmarks.accelerator --attention strides,flex --cuda-graphs auto,off    # what is each worth?
    python -m benchmarks.accelerator --model DIRECTORY --sessions 1,8 --output accelerator.json
    python -m benchmarks.accelerator --shape tiny --device cpu --sessions 1,2 --context 64

A shape's directory is made once, in the models' cache below benchmarks/, and stays: 16 GB for 8b.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import torch

from benchmarks.passes.case import Case, grid
from benchmarks.passes.device import compute_on, copy_bandwidth, describe, free_bytes, release
from benchmarks.passes.floor import Floor
from benchmarks.passes.measured import EXACT, OFF, Measured, tables
from benchmarks.passes.random_model import random_model
from benchmarks.passes.shapes import SHAPES
from benchmarks.passes.stored_model import kv_numbers_per_token, weight_bytes_read
from benchmarks.passes.timed_model import TimedModel, timings_in_turn
from benchmarks.passes.ways import MODES, Way, ways
from paceline.cli.benchmark.machine import this_machine, versions
from paceline.cli.benchmark.spread import Spread, spread_of
from paceline.engine.config import AttentionKind, EngineConfig, GraphUse
from paceline.engine.model_runner import MIN_BLOCKS
from paceline.engine.precision import Precision
from paceline.engine.pytorch.kv_cache import BLOCK_SIZE
from paceline.engine.pytorch.precision import DTYPES, choose_device, choose_torch_precision
from paceline.errors import ConfigError, PacelineError

# Of what is free beside the weights, for the KV cache; the rest is for what passes need on their way.
KV_SHARE = 0.8
PACKAGES = ("torch", "transformers")


@dataclass(frozen=True)
class Plan:
    """What is measured, and on what.

    Attributes:
        directory: A Hugging Face directory.
        weights: Format in which it is loaded.
        weight_bytes: What a pass reads of it.
        kv_bytes_per_token: What a token leaves in the KV cache.
    """

    directory: Path
    device: torch.device
    precision: Precision
    weights: str
    cases: tuple[Case, ...]
    weight_bytes: int
    kv_bytes_per_token: int

    @classmethod
    def of(cls, arguments: argparse.Namespace, device: torch.device) -> "Plan":
        """Return the plan of a command line; a shape's weights are drawn where they are missing."""
        directory = arguments.model or random_model(arguments.shape, device)
        precision = choose_torch_precision(device, arguments.compute_precision, arguments.kv_precision)
        return cls(
            directory,
            device,
            precision,
            arguments.weights,
            tuple(grid(arguments.context, arguments.sessions, arguments.rows)),
            weight_bytes_read(directory, arguments.weights, DTYPES[precision.compute].itemsize),
            kv_numbers_per_token(directory) * DTYPES[precision.kv].itemsize,
        )

    def config(self, way: Way, kv_cache_bytes: int, max_rows: int) -> EngineConfig:
        """Return how the model is loaded in one way."""
        return EngineConfig(
            self.directory,
            kv_cache_bytes,
            num_threads=len(os.sched_getaffinity(0)),
            engine="torch",
            device=str(self.device),
            weights=self.weights,
            compute_precision=self.precision.compute,
            kv_precision=self.precision.kv,
            max_rows_per_step=max_rows,
            batch_invariant=way.invariance,
            attention=way.attention,
            cuda_graphs=way.cuda_graphs,
            self_test="always",
        )

    def kv_cache_bytes(self) -> int:
        """Return the KV memory for the largest case, or what there is."""
        num_blocks = max(MIN_BLOCKS, *(case.num_blocks(BLOCK_SIZE) for case in self.cases))
        room = int(KV_SHARE * (free_bytes(self.device) - self.weight_bytes))
        return min(num_blocks * BLOCK_SIZE * self.kv_bytes_per_token, room)


def main() -> None:
    """Measure all cases in each way; print tables or JSON."""
    arguments = _arguments()
    try:
        _run(arguments)
    except PacelineError as error:
        sys.exit(f"error: {error}")


def _run(arguments: argparse.Namespace) -> None:
    compute_on(arguments.cores)
    device = choose_device(arguments.device)
    _tell(f"{device}: copying, to see how fast its memory is")
    bandwidth = copy_bandwidth(device)
    plan = Plan.of(arguments, device)
    floor = Floor(plan.weight_bytes, plan.kv_bytes_per_token, bandwidth.median)
    about = _about(arguments, plan, bandwidth)
    measured: list[Measured] = []
    left_out: list[str] = []
    loaded: dict[str, dict[str, Any]] = {}
    release(device)
    kv_cache_bytes, max_rows = plan.kv_cache_bytes(), max(case.total_rows for case in plan.cases)
    for way in ways(arguments.modes, arguments.attention, arguments.cuda_graphs):
        _tell(f"{way.name}: loading and testing the model")
        try:
            model = TimedModel.load(plan.config(way, kv_cache_bytes, arguments.max_rows or max_rows))
        except ConfigError as error:  # the others may run
            left_out.append(f"{way.name}: {error}")
            release(device)
            continue
        loaded[way.name] = _describe_loaded(model)
        fitting = [case for case in plan.cases if case.num_blocks(model.block_size) <= model.num_blocks]
        left_out += [f"{way.name}: {_words(case)}" for case in plan.cases if case not in fitting]
        measured += measure(way.name, model, fitting, floor, arguments)
        del model  # before the next one is loaded beside it
        release(device)
    _report(about | {"loaded": loaded, "left_out": left_out}, measured, arguments)


def _report(about: Mapping[str, Any], measured: Sequence[Measured], arguments: argparse.Namespace) -> None:
    document = json.dumps({**about, "results": [one.to_json() for one in measured]}, indent=2)
    if arguments.output is not None:
        arguments.output.write_text(f"{document}\n", encoding="utf-8")
    if arguments.json:
        print(document)
        return
    for name, value in about.items():
        print(f"{name}: {value}")
    print()
    for line in tables(measured):
        print(line)


def measure(
    mode: str, model: TimedModel, cases: Sequence[Case], floor: Floor, arguments: argparse.Namespace
) -> Iterator[Measured]:
    """Yield what each case came to; cases that differ in the number of rows alone take turns."""
    model.fill(max((case.num_blocks(model.block_size) for case in cases), default=0))
    for circumstances, group in groupby(cases, key=lambda case: case[:2]):
        _tell(f"{mode}: {_words(Case(*circumstances, 0))}")
        in_turn = timings_in_turn(model, list(group), arguments.warm_up, arguments.repeats)
        for case, num_passes, timings in in_turn:
            yield Measured(
                mode,
                case,
                num_passes,
                forward=_spread(timing.forward for timing in timings),
                layout=_spread(timing.layout for timing in timings),
                floor=floor.milliseconds_of(case),
            )


def _about(arguments: argparse.Namespace, plan: Plan, bandwidth: Spread) -> dict[str, Any]:
    """Return what a reader has to know beside the numbers."""
    shape = SHAPES[arguments.shape]
    drawn = (
        f"RANDOM weights in the shape of {shape.like}, {shape.num_parameters / 1e9:.2f} billion parameters"
    )
    return {
        "command": f"python -m benchmarks.accelerator {' '.join(sys.argv[1:])}".strip(),
        "machine": asdict(this_machine()),
        "load_average": os.getloadavg(),
        "versions": versions() | {package: version(package) for package in PACKAGES},
        "device": {"kind": str(plan.device), **describe(plan.device)},
        "copied_gb_per_second": {
            "median": round(bandwidth.median / 1e9, 1),
            "low": round(bandwidth.low / 1e9, 1),
            "high": round(bandwidth.high / 1e9, 1),
        },
        "model": drawn if arguments.model is None else arguments.model.name,
        "precision": f"{plan.weights} weights, {plan.precision.compute} computation, {plan.precision.kv} KV",
        "weight_bytes_read": plan.weight_bytes,
        "kv_bytes_per_token": plan.kv_bytes_per_token,
    }


def _describe_loaded(model: TimedModel) -> dict[str, Any]:
    """Return what the engine says of a way: whether it is exact is what the self-test found."""
    info = model.info
    return {
        **model.kernels(),
        "is_batch_invariant": info.self_test.batch_invariant,
        "failed_checks": info.self_test.failed_checks,
        "kv_capacity_tokens": info.kv_capacity_tokens,
    }


def _words(case: Case) -> str:
    rows = f", {case.num_rows} rows each" if case.num_rows else ""
    return f"{case.num_sessions} sessions behind {case.context} tokens{rows}"


def _spread(values: Iterable[float]) -> Spread:
    spread = spread_of(values)
    assert spread is not None
    return spread


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text}: numbers from 1 on")
    return numbers


def _among(known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Return what reads names with commas between them."""

    def read(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(text.split(",")))
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: there are {', '.join(known)}")
        return names

    return read


def _cores(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.accelerator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--shape", choices=sorted(SHAPES), default="8b", help="of the random weights (default %(default)s)")
    add("--model", type=Path, help="a Hugging Face directory in place of random weights")
    add("--device", default="auto", help="cpu, cuda, cuda:1, or auto: CUDA where there is one (default)")
    add(
        "--weights",
        default="f16",
        choices=["f16", "int8", "int4", "fp8"],
        help="f16: as the computation (default)",
    )
    add(
        "--compute-precision",
        default="auto",
        choices=["auto", "bf16", "f32"],
        help="auto: bf16 on CUDA, else f32",
    )
    add(
        "--kv-precision",
        default="auto",
        choices=["auto", "bf16", "f16", "f32"],
        help="auto: as the computation",
    )
    add(
        "--modes", type=_among(MODES), default=(EXACT, OFF), help="exact, off, or both with a comma (default)"
    )
    add(
        "--attention",
        type=_among(get_args(AttentionKind)),
        default=("auto",),
        help="of exact passes: strides, flex, both with a comma, or auto, what the service takes (default)",
    )
    add(
        "--cuda-graphs",
        type=_among(get_args(GraphUse)),
        default=("auto",),
        help="of exact passes: auto captures them where that is possible (default), off does not; or both",
    )
    add("--context", type=_numbers, default=(256, 1024, 4096), help="tokens before (default 256,1024,4096)")
    add("--sessions", type=_numbers, default=(1, 2, 4, 8, 16, 32, 64), help="at once (default 1,2,4 .. 64)")
    add("--rows", type=_numbers, default=(1, 5, 9), help="of each session (default 1,5,9)")
    add(
        "--max-rows",
        type=int,
        help="most rows of a pass, as --max-rows-per-step of the service; all if unset",
    )
    add("--repeats", type=int, default=20, help="timings of each case (default %(default)s)")
    add("--warm-up", type=int, default=3, help="runs before them (default %(default)s)")
    add("--cores", type=_cores, default=(), help="cores to compute on, for example 0,1; all if unset")
    add("--json", action="store_true", help="print JSON for programs")
    add("--output", type=Path, help="write the JSON here too")
    arguments = parser.parse_args()
    if arguments.max_rows is not None and arguments.max_rows < max(arguments.rows):
        parser.error(f"--max-rows {arguments.max_rows}: a session's {max(arguments.rows)} rows are not cut")
    return arguments


if __name__ == "__main__":
    main()
