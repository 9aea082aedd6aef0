"""The options that `up`, `demo` and `bench` share, and the cluster that they stand for."""

import os
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import typer

from paceline.cli.model_setup import set_up_model
from paceline.errors import ConfigError
from paceline.local.core_assignment import CoreAssignment, default_cores, parse_cores
from paceline.local.plan import ClusterConfig
from paceline.models.catalog import find_pair

PairName: TypeAlias = Annotated[str, typer.Option("--pair", help="A catalogued pair: reference or tiny.")]
Cores: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--cores",
        help="Cores of each pool, for example draft=0,target=1-3.  [default: a split of all]",
        show_default=False,
    ),
]
DraftWeights: TypeAlias = Annotated[str, typer.Option("--draft-weights", help="f16, int8 or int4.")]
TargetWeights: TypeAlias = Annotated[str, typer.Option("--target-weights", help="f16, int8 or int4.")]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@dataclass(frozen=True)
class ModelOptions:
    """Which models, as the command line has them; `target` and `draft` take the place of the pair's."""

    pair: str
    target_weights: str
    draft_weights: str
    target: str | None = None
    draft: str | None = None


def set_up_models(options: ModelOptions) -> ClusterConfig:
    """Return a cluster of the models, pulled and prepared with progress where they are missing."""
    if (options.target is None) != (options.draft is None):
        raise ConfigError("give both --target and --draft, or neither and a --pair", setting="target")
    if options.target is not None and options.draft is not None:
        target, draft = options.target, options.draft
    else:
        pair = find_pair(options.pair)
        target, draft = pair.target.name, pair.draft.name
    return ClusterConfig(
        target=set_up_model(target, options.target_weights),
        draft=set_up_model(draft, options.draft_weights),
    )


def assign_cores(text: str | None) -> CoreAssignment:
    """Return the assignment of --cores, else a split of the cores that this process may use."""
    available = os.sched_getaffinity(0)
    return default_cores(available) if text is None else parse_cores(text, available)
