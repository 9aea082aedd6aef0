"""What a million tokens need, from measured CPU seconds and energy: plain data in, plain data out."""

from collections.abc import Mapping, Sequence

from paceline.cli.benchmark.trial import TARGET_ONLY
from paceline.cli.evaluation.findings import Cost, Prices
from paceline.cli.evaluation.measured_trial import MeasuredTrial, with_variant
from paceline.cli.evaluation.speeds import cpu_seconds_per_token_of, variants_of

TOKENS = 1_000_000
_SECONDS_PER_HOUR = 3600.0
_JOULES_PER_KWH = 3.6e6
WATTS_AS_GIVEN = "watts of a core, as given"
NOT_IN_ALL_TRIALS = "not measured in all trials"


def costs_of(trials: Sequence[MeasuredTrial], prices: Prices, energy_source: str) -> list[Cost]:
    """Return the cost of each way of generating with one draft, for each number of sessions at once.

    `energy_source` is that of the trials' joules, or says why they have none.
    """
    found: list[Cost] = []
    for num_sessions in sorted({len(trial.answers) for trial in trials}):
        at_once = [trial for trial in trials if len(trial.answers) == num_sessions]
        for variant in variants_of(at_once):
            own = with_variant(at_once, variant)
            draft = "" if variant == TARGET_ONLY else own[0].draft
            found.append(_cost(draft, variant.name, num_sessions, own, prices, energy_source))
    return found


def _cost(
    draft: str,
    variant: str,
    num_sessions: int,
    trials: Sequence[MeasuredTrial],
    prices: Prices,
    energy_source: str,
) -> Cost:
    seconds_per_token = cpu_seconds_per_token_of(trials)
    core_hours = {pool: seconds * TOKENS / _SECONDS_PER_HOUR for pool, seconds in seconds_per_token.items()}
    energy_kwh = _measured_kwh(trials)
    if energy_kwh is None and prices.watts_per_core is not None and core_hours:
        energy_kwh, energy_source = sum(core_hours.values()) * prices.watts_per_core / 1000, WATTS_AS_GIVEN
    elif energy_kwh is None and any(trial.joules is not None for trial in trials):
        energy_source = NOT_IN_ALL_TRIALS
    return Cost(
        draft,
        variant,
        num_sessions,
        core_hours,
        {
            pool: prices.rate * seconds / prices.cores_per_server
            for pool, seconds in seconds_per_token.items()
        },
        energy_kwh,
        energy_source,
        _price(core_hours, energy_kwh, prices),
        prices.currency,
    )


def _measured_kwh(trials: Sequence[MeasuredTrial]) -> float | None:
    """Return the energy of a million tokens; None unless all trials were measured."""
    joules = [trial.joules for trial in trials]
    known = [one for one in joules if one is not None]
    if len(known) < len(joules):
        return None
    return sum(known) / sum(trial.num_tokens for trial in trials) * TOKENS / _JOULES_PER_KWH


def _price(core_hours: Mapping[str, float], energy_kwh: float | None, prices: Prices) -> float | None:
    """Return the price of what has one: core hours, energy or both; None where a price's amount is not known.

    An orchestrator runs on the draft's cheap nodes.
    """
    parts: list[float] = []
    if prices.draft_core_hour is not None and prices.target_core_hour is not None:
        if not core_hours:
            return None
        parts += [
            hours * (prices.target_core_hour if pool == "target" else prices.draft_core_hour)
            for pool, hours in core_hours.items()
        ]
    if prices.kwh is not None:
        if energy_kwh is None:
            return None
        parts.append(energy_kwh * prices.kwh)
    return sum(parts) if parts else None
