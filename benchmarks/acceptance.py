"""How often a draft token is accepted: computed from both models' logits, and measured by sampling in both ways.

Target and draft read the prompts, one model after the other, and their logits are kept at positions spread evenly over
all of them. There the acceptance of the first draft token is computed (`paceline/sampling/acceptance.py`), and measured
with the selectors of both services: each position is drafted and judged once for each of many seeds.

    python benchmarks/acceptance.py --cores 0,1
    python benchmarks/acceptance.py --prompts code --num-tokens 100 --temperatures 0.5,0.7:0.9 --json
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from paceline.cli.benchmark.machine import this_machine, versions
from paceline.cli.benchmark.prompt_set import read_prompts
from paceline.cli.evaluation.reading.expected import distributions_at
from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.work import Logits, TokenIds, Work
from paceline.models.catalog import PAIRS, find_pair
from paceline.models.prepare import prepare
from paceline.models.tokenizer import Tokenizer
from paceline.sampling.parameters import SamplingParameters, Verification
from paceline.sampling.rejection import DraftSelector, RejectionSelector
from paceline.sampling.selector import selector_for

KV_CACHE_BYTES = 128 << 20
# Before that a model has too little to go by.
FIRST_POSITION = 8
SAMPLINGS = "0.3,0.7,1,0.7:0.9"


class Place(NamedTuple):
    """A position of a prompt whose next token is compared."""

    prompt: int
    position: int


@dataclass(frozen=True)
class Rows:
    """Both models' logits at the same places [num_places, vocab_size]."""

    target: Logits
    draft: Logits

    @property
    def positions(self) -> TokenIds:
        """Another position for each place, so that no two of them share their noise."""
        return np.arange(len(self.target))


@dataclass(frozen=True)
class Expected:
    """What both distributions at one place say."""

    shared: float
    bound: float  # (1 - TV) / (1 + TV), below which shared noise never is
    optimum: float
    rejection: float  # with the draft's distribution as it is shipped
    independent: float  # two samples without anything shared
    num_bytes: int  # of the shipped distribution


@dataclass(frozen=True)
class Measured:
    """The share of accepted draft tokens, and its standard error for these places: what other seeds would change."""

    acceptance: float
    standard_error: float


@dataclass(frozen=True)
class Acceptance:
    """Acceptance of the first draft token, the mean over all places."""

    temperature: float
    top_p: float
    expected: Expected
    shared: Measured
    rejection: Measured


def main() -> None:
    """Print a table, a line for each way of sampling."""
    arguments = _arguments()
    os.sched_setaffinity(0, arguments.cores)
    pair = find_pair(arguments.pair)
    directories = (
        prepare(pair.target.name, arguments.target_weights),
        prepare(pair.draft.name, arguments.draft_weights),
    )
    prompts = encoded_prompts(arguments.prompts, directories[0])
    places = spread_places(prompts, arguments.num_tokens)
    rows = Rows(*(read_logits(one, prompts, places, len(arguments.cores)) for one in directories))
    about = {
        "command": f"python {' '.join(sys.argv)}",
        "machine": asdict(this_machine()),
        "versions": versions(),
        "target": f"{pair.target.name} {arguments.target_weights}",
        "draft": f"{pair.draft.name} {arguments.draft_weights}",
        "num_positions": len(places),
        "num_draws": len(places) * arguments.num_seeds,
    }
    measured = (measure(parameters, rows, arguments.num_seeds) for parameters in arguments.temperatures)
    if arguments.json:
        print(json.dumps(about | {"acceptance": list(map(asdict, measured))}))
        return
    for name, value in about.items():
        print(f"{name}: {value}")
    _print_table(measured)


def encoded_prompts(selection: str, target: Path) -> list[TokenIds]:
    """Return the ids of each prompt."""
    tokenizer = Tokenizer.load(target)
    texts = [prompt.text for prompt in read_prompts(selection)]
    return [np.array(tokenizer.encode(text, parse_special=False), np.int64) for text in texts]


def spread_places(prompts: Sequence[TokenIds], num_places: int) -> list[Place]:
    """Return places spread evenly over the prompts, fewer where there are not so many."""
    places = [
        Place(prompt, position)
        for prompt, ids in enumerate(prompts)
        for position in range(FIRST_POSITION, len(ids) + 1)
    ]
    chosen = np.linspace(0, len(places) - 1, min(num_places, len(places))).round().astype(int)
    return [places[index] for index in chosen]


def read_logits(
    directory: Path, prompts: Sequence[TokenIds], places: Sequence[Place], num_threads: int
) -> Logits:
    """Return what a model gives for the next token at each place [num_places, vocab_size]."""
    config = EngineConfig(directory, KV_CACHE_BYTES, num_threads, batch_invariant="off")
    with Engine.load(config) as engine:
        rows = np.empty((len(places), engine.info.vocabulary_size), np.float32)
        for prompt, ids in enumerate(prompts):
            kept = {place.position: row for row, place in enumerate(places) if place.prompt == prompt}
            _keep_logits(engine, ids, kept, rows)
    return rows


def _keep_logits(engine: Engine, ids: TokenIds, kept: dict[int, int], rows: Logits) -> None:
    """Read one prompt, and write what follows at a position to its row."""

    def keep(logits: Logits, positions: TokenIds, _known_ids: Sequence[int]) -> TokenIds:
        for row, position in zip(logits, positions.tolist(), strict=True):
            if position in kept:
                rows[kept[position]] = row
        return logits.argmax(axis=1)

    sequence = engine.open_sequence()
    engine.submit(Work(sequence, 0, ids, num_selected=len(ids), selector=keep)).future.result()
    engine.close_sequence(sequence)


def measure(parameters: SamplingParameters, rows: Rows, num_seeds: int) -> Acceptance:
    """Compute and measure the acceptance of one way of sampling."""
    expected = [
        expect(parameters, target, draft) for target, draft in zip(rows.target, rows.draft, strict=True)
    ]
    mean = Expected(*np.mean([list(asdict(one).values()) for one in expected], axis=0).tolist())
    seeded = [replace(parameters, seed=seed) for seed in range(num_seeds)]
    shared = _measured([shared_noise_accepts(one, rows) for one in seeded], [one.shared for one in expected])
    rejection = _measured(
        [rejection_accepts(one, rows) for one in seeded], [one.rejection for one in expected]
    )
    return Acceptance(parameters.temperature, parameters.top_p, mean, shared, rejection)


def expect(
    parameters: SamplingParameters,
    target_logits: npt.NDArray[np.float32],
    draft_logits: npt.NDArray[np.float32],
) -> Expected:
    """Compute the acceptance at one place from the logits there [vocab_size]."""
    found = distributions_at(parameters, target_logits, draft_logits)
    shared, rejection, optimum = found.expected
    return Expected(
        shared=shared,
        bound=optimum / (2 - optimum),
        optimum=optimum,
        rejection=rejection,
        independent=float((found.target_probs * found.draft_probs).sum()),
        num_bytes=len(found.shipped.encode()),
    )


def shared_noise_accepts(parameters: SamplingParameters, rows: Rows) -> npt.NDArray[np.bool_]:
    """Say at each place whether target and draft choose the same token with the noise of one seed."""
    target_ids, draft_ids = (
        selector_for(parameters)(logits, rows.positions, ()) for logits in (rows.target, rows.draft)
    )
    return target_ids == draft_ids


def rejection_accepts(parameters: SamplingParameters, rows: Rows) -> npt.NDArray[np.bool_]:
    """Say at each place whether the target accepts what the draft has sampled with one seed."""
    parameters = replace(parameters, verification=Verification.REJECTION)
    drafter = DraftSelector(parameters)
    draft_ids = drafter(rows.draft, rows.positions, ())
    judge = RejectionSelector(parameters, draft_ids.tolist(), drafter.distributions)
    return judge(rows.target, rows.positions, ()) == draft_ids


def _measured(accepted: Sequence[npt.NDArray[np.bool_]], expected: Sequence[float]) -> Measured:
    """Average over seeds and places; each place is a coin of its own, whose bias is known."""
    probs = np.array(expected)
    variance = (probs * (1 - probs)).sum() / len(accepted) / len(probs) ** 2
    return Measured(float(np.mean(accepted)), float(np.sqrt(variance)))


def _print_table(measured: Iterable[Acceptance]) -> None:
    columns = (
        "sampling",
        "shared noise: computed",
        "measured",
        "never below",
        "rejection: computed",
        "measured",
        "optimum, 1 - TV",
        "independent samples that agree",
        "bytes of a distribution",
    )
    print(f"\n| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    for one in measured:
        expected = one.expected
        cells = (
            f"T = {one.temperature:g}" + (f", top_p {one.top_p:g}" if one.top_p < 1 else ""),
            f"{expected.shared:.3f}",
            _cell(one.shared),
            f"{expected.bound:.3f}",
            f"{expected.rejection:.3f}",
            _cell(one.rejection),
            f"{expected.optimum:.3f}",
            f"{expected.independent:.3f}",
            f"{expected.num_bytes:.0f}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


def _cell(measured: Measured) -> str:
    return f"{measured.acceptance:.3f} ± {measured.standard_error:.3f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pair", default="reference", choices=sorted(PAIRS), help="a catalogued pair")
    parser.add_argument("--target-weights", default="int8")
    parser.add_argument("--draft-weights", default="int4")
    parser.add_argument(
        "--prompts", default="all", help="kinds of prompts with commas between them, all, or a .toml file"
    )
    parser.add_argument(
        "--num-tokens", type=int, default=400, help="positions that are compared; 600 KB a model for each"
    )
    parser.add_argument("--num-seeds", type=int, default=25, help="draws at each position")
    parser.add_argument(
        "--temperatures",
        type=_samplings,
        default=SAMPLINGS,
        help=f"temperatures with commas between them, each with a top_p after a colon or not; {SAMPLINGS}",
    )
    parser.add_argument("--cores", type=lambda text: [int(core) for core in text.split(",")], default=[0])
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    return parser.parse_args()


def _samplings(text: str) -> list[SamplingParameters]:
    """Read temperatures; argparse reports what it raises."""
    parts = [part.partition(":") for part in text.split(",")]
    samplings = [
        SamplingParameters(float(temperature), top_p=float(top_p or 1)) for temperature, _, top_p in parts
    ]
    if not all(one.temperature > 0 and 0 < one.top_p <= 1 for one in samplings):
        raise argparse.ArgumentTypeError(
            f"{text}: give temperatures above 0 and top_p above 0 and at most 1; at temperature 0 nothing is random"
        )
    return samplings


if __name__ == "__main__":
    main()
