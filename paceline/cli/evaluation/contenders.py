"""What a verdict weighs, from trials with one draft, one session at a time."""

from collections.abc import Sequence

from paceline.cli.benchmark.trial import TARGET_ONLY
from paceline.cli.evaluation.findings import Speed
from paceline.cli.evaluation.measured_trial import MeasuredTrial
from paceline.cli.evaluation.speeds import speed_ups_of, variants_of
from paceline.cli.evaluation.verdict import Contender


def contenders_of(trials: Sequence[MeasuredTrial], speeds: Sequence[Speed]) -> list[Contender]:
    """Return all Ks and adaptive mode on all kinds; `speeds` are what the same trials came to."""
    variants = {variant.name: variant for variant in variants_of(trials)}
    alone = {speed.kind: speed.latency.gap_worst for speed in speeds if speed.variant == TARGET_ONLY.name}
    found: list[Contender] = []
    for speed in speeds:
        if speed.speed_up is None or speed.kind not in alone:
            continue
        of_kind = [trial for trial in trials if trial.kind == speed.kind]
        found.append(
            Contender(
                speed.kind,
                speed.num_draft_tokens,
                speed.speed_up,
                min(speed_ups_of(of_kind, variants[speed.variant])),
                speed.latency.gap_worst / alone[speed.kind],
            )
        )
    return found
