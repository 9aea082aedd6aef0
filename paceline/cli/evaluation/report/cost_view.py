"""Processor time, servers, energy and price for a million tokens."""

from dataclasses import dataclass

from paceline.cli.evaluation.findings import Cost, Evaluation, Speed
from paceline.cli.evaluation.report.latency_view import speed_name
from paceline.cli.evaluation.report.located import Located
from paceline.cli.evaluation.report.speeds import drafts_of, kinds_of, telling
from paceline.cli.evaluation.report.teller import Teller


@dataclass(frozen=True)
class CostRow:
    """One way of generating."""

    name: str
    cost: Located[Cost]


@dataclass(frozen=True)
class UseRow:
    """What one way of generating took of the machine, on one kind."""

    name: str
    speed: Located[Speed]


@dataclass(frozen=True)
class KindUse:
    """One kind of prompts."""

    kind: str
    rows: tuple[UseRow, ...]


@dataclass(frozen=True)
class Costs:
    """What tokens need; `pools` and `use_pools` are the columns, `energy_sources` tell where the energy is from."""

    rows: tuple[CostRow, ...]
    pools: tuple[str, ...]
    uses: tuple[KindUse, ...]
    use_pools: tuple[str, ...]
    energy_sources: str


def costs_of(evaluation: Located[Evaluation], tell: Teller) -> Costs:
    """Return the costs, and what they were computed from."""
    costs: list[Located[Cost]] = list(evaluation.costs)
    uses = tuple(
        KindUse(
            kind, tuple(UseRow(speed_name(one, evaluation, tell), one) for one in telling(evaluation, kind))
        )
        for kind in kinds_of(evaluation.speed)
    )
    used = [row.speed.raw for use in uses for row in use.rows]
    use_pools = [pool for one in used for pool in (*one.cpu_seconds_per_token, *one.memory_bytes)]
    sources = dict.fromkeys(cost.raw.energy_source for cost in costs)
    return Costs(
        tuple(CostRow(cost_name(cost, evaluation, tell), cost) for cost in costs),
        tuple(dict.fromkeys(pool for cost in costs for pool in cost.raw.core_hours_by_pool)),
        uses,
        tuple(dict.fromkeys(use_pools)),
        tell.series([tell.word("energy", source) for source in sources]) if sources else "",
    )


def cost_name(cost: Located[Cost], evaluation: Located[Evaluation], tell: Teller) -> str:
    """Return what a way of generating is called; with its draft where there are several."""
    variant = tell.word("variants", cost.raw.variant)
    if not cost.raw.draft or len(drafts_of(evaluation)) == 1:
        return variant
    return tell.say("variants.of-draft", draft=tell.name(cost.draft), variant=variant)
