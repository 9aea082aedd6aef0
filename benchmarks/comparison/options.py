"""The options of the suite, and the plan that they stand for."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.comparison.cell import CLOSED, POISSON, Arrivals, Cell
from benchmarks.comparison.load_plan import Amount
from benchmarks.comparison.models import ModelPlan
from benchmarks.comparison.presets import (
    KINDS,
    SHARED_CORES,
    SHOWS,
    full_cells,
    product_of,
    quick_cells,
    shown_cells,
)
from benchmarks.comparison.system import WORDS, systems_of
from benchmarks.peers.exchange import RoundTrips
from benchmarks.peers.exported_models import QUANTISATIONS
from paceline.cli.model_setup import DRAFT_WEIGHTS, TARGET_WEIGHTS
from paceline.errors import ConfigError

OUTPUT = Path("benchmarks/results")
SAME = "same"
ALL_POOLS = "all="


@dataclass(frozen=True)
class Plan:
    """A run of the suite."""

    cells: tuple[Cell, ...]
    models: ModelPlan
    amount: Amount
    output: Path
    is_resumed: bool


# Repeats, groups of prompts, tokens.
_AMOUNTS = {"quick": (3, 1, 48), "shows": (5, 1, 64), "full": (5, 1, 64), None: (5, 1, 96)}


def read_plan(arguments: Sequence[str] | None) -> Plan:
    """Return the plan of a command line; raises ConfigError, and SystemExit for --help."""
    options = parser().parse_args(arguments)
    preset = options.preset or (None if _is_product(options) else "quick")
    num_repeats, num_groups, max_tokens = _AMOUNTS[preset]
    amount = Amount(
        options.repeats or num_repeats,
        options.groups or num_groups,
        options.questions_per_session,
        options.max_tokens or max_tokens,
        options.seed,
    )
    models = ModelPlan(
        options.pair,
        options.target_weights,
        options.draft_weights,
        options.peer_draft_weights or options.draft_weights,
        options.transformers_weights,
        None if options.genai_precision == "default" else options.genai_precision,
        options.target_engine,
        options.target_device,
    )
    cells = tuple(_cells(options, preset))
    if not cells:
        raise ConfigError("nothing is left to measure: --preset has no such cells", setting="preset")
    _require_weights_of_peers(models, cells)
    return Plan(cells, models, amount, options.output, options.resume)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.suite",
        description="Measure the reference pair side by side with what else could be used. A preset is narrowed by the "
        "options beside it; without one, they are combined each with each.",
    )
    add = made.add_argument
    add(
        "--preset",
        choices=["quick", "shows", "full"],
        help="quick: minutes (default); shows: issue 5; full: half a day",
    )
    add("--shows", type=_integers, default=SHOWS, help="with --preset shows: which of its list, 1,2,3,4,6")
    add("--systems", type=_words, help=f"with commas: {', '.join(WORDS)}")
    add("--kinds", type=_words, help=f"of prompts, with commas: {', '.join(KINDS)}")
    add("--sessions", type=_integers, help="numbers of sessions at once, as 1,4,16,32")
    add(
        "--rtt-ms",
        type=_floats,
        help="emulated round-trip times to the target, as 0,15; without it, loopback",
    )
    add("--draft-rtt-ms", default="0", help="those to the draft: a number, or 'same' (default %(default)s)")
    add("--temperature", type=_floats, help="as 0,0.7 (default 0)")
    add("--arrivals", type=_arrivals, help="closed (default), or poisson:RATE with requests a second")
    add("--cores", help=f"draft=0,target=1, or all=0-1 for all on the same (default {SHARED_CORES})")
    add("--num-draft-tokens", type=_integers, default=(3, 5), help="of fixed speculation (default 3,5)")
    add("--repeats", type=int, help="how often each trial is made")
    add("--groups", type=int, help="groups of prompts in a repeat, each begun at another prompt")
    add("--questions-per-session", type=int, default=1, help="in a closed loop (default %(default)s)")
    add("--max-tokens", type=int, help="most tokens of an answer")
    add("--seed", type=int, default=1, help="of arrivals and sampling (default %(default)s)")
    add("--pair", default="reference", help="of the catalogue: reference or tiny (default %(default)s)")
    add(
        "--target-weights",
        default=TARGET_WEIGHTS,
        choices=["f16", "int8", "int4"],
        help="ours and GenAI's; f16 is ours alone (default %(default)s)",
    )
    add("--target-engine", choices=["openvino", "torch"], help="what computes our target (its own default)")
    add("--target-device", help="where it does: CPU, cuda, cuda:1 (its own default)")
    add("--draft-weights", default=DRAFT_WEIGHTS, choices=["int8", "int4"], help="ours (default %(default)s)")
    add("--peer-draft-weights", choices=["int8", "int4"], help="GenAI's (default: as --draft-weights)")
    add(
        "--transformers-weights",
        default="int8",
        choices=["int8", "bf16", "f32"],
        help="(default %(default)s)",
    )
    add(
        "--genai-precision",
        default="default",
        choices=["default", "f32", "bf16"],
        help="its inference precision hint",
    )
    add("--output", type=Path, default=OUTPUT, help="directory of the results (default %(default)s)")
    add("--resume", action="store_true", help="keep the cells that an earlier run has finished")
    return made


def _require_weights_of_peers(models: ModelPlan, cells: Sequence[Cell]) -> None:
    has_genai = any(system.peer == "genai" for cell in cells for system in cell.systems)
    if has_genai and models.target_weights not in QUANTISATIONS:
        message = f"--target-weights {models.target_weights} is ours alone: leave GenAI out of --systems"
        raise ConfigError(message, setting="target_weights")


def _is_product(options: argparse.Namespace) -> bool:
    narrowing = ("systems", "kinds", "sessions", "rtt_ms", "temperature", "arrivals", "cores")
    return any(getattr(options, name) is not None for name in narrowing)


def _cells(options: argparse.Namespace, preset: str | None) -> Sequence[Cell]:
    numbers = options.num_draft_tokens
    match preset:
        case "quick":
            return _narrowed(quick_cells(numbers), options)
        case "shows":
            return _narrowed(shown_cells(numbers, _known_shows(options.shows)), options)
        case "full":
            return _narrowed(full_cells(numbers), options)
        case _:
            words = options.systems or ("ours-target", "ours-fixed", "ours-adaptive")
            return product_of(
                _cores(options.cores) or SHARED_CORES,
                options.kinds or ("code",),
                options.sessions or (1,),
                _distances(options) or (None,),
                options.temperature or (0.0,),
                options.arrivals or Arrivals(),
                systems_of(words, numbers),
            )


def _narrowed(cells: Sequence[Cell], options: argparse.Namespace) -> list[Cell]:
    """The cells of a preset that the other options leave, with the systems that they leave."""
    distances, cores = _distances(options), _cores(options.cores)
    wanted = set(systems_of(options.systems, options.num_draft_tokens)) if options.systems else None
    kept = [
        replace(cell, systems=tuple(one for one in cell.systems if wanted is None or one in wanted))
        for cell in cells
        if (options.kinds is None or cell.kind in options.kinds)
        and (options.sessions is None or cell.num_sessions in options.sessions)
        and (options.temperature is None or cell.temperature in options.temperature)
        and (options.arrivals is None or cell.arrivals == options.arrivals)
        and (distances is None or cell.round_trips in distances)
        and (cores is None or cell.cores == cores)
    ]
    return [cell for cell in kept if cell.systems]


def _distances(options: argparse.Namespace) -> tuple[RoundTrips, ...] | None:
    if options.rtt_ms is None:
        return None
    far = options.draft_rtt_ms
    return tuple(RoundTrips(rtt, rtt if far == SAME else _number(far)) for rtt in options.rtt_ms)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(
            f"--draft-rtt-ms {text}: write a number or {SAME}", setting="draft_rtt_ms"
        ) from error


def _cores(text: str | None) -> str | None:
    """An assignment; `all=0-1` puts draft, target and orchestrator on the same cores."""
    if text is None or not text.startswith(ALL_POOLS):
        return text
    cores = text.removeprefix(ALL_POOLS)
    return f"draft={cores},target={cores},orchestrator={cores}"


def _known_shows(shows: Sequence[int]) -> Sequence[int]:
    if unknown := [show for show in shows if show not in SHOWS]:
        raise ConfigError(
            f"--shows {unknown}: this suite measures {SHOWS}; 5 is benchmarks.round_overhead", setting="shows"
        )
    return shows


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _floats(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _arrivals(text: str) -> Arrivals:
    kind, _, rate = text.partition(":")
    if kind == CLOSED and not rate:
        return Arrivals()
    if kind != POISSON or not float(rate) > 0:
        raise argparse.ArgumentTypeError(f"{text}: write closed, or poisson:RATE as in poisson:0.2")
    return Arrivals(POISSON, float(rate))
