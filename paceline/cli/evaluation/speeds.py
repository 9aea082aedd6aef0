"""Speed of each way of generating, from trials: plain data in, plain data out."""

from collections.abc import Mapping, Sequence

from paceline.cli.benchmark.trial import ADAPTIVE, TARGET_ONLY, Variant
from paceline.cli.evaluation.estimate import estimate_of, paired_ratios
from paceline.cli.evaluation.findings import Estimate, Speed
from paceline.cli.evaluation.latency import latency_of
from paceline.cli.evaluation.measured_trial import ALL_KINDS, Answer, MeasuredTrial, TrialKey, with_variant
from paceline.client.generation import SpeculationMode

AnswerIds = Mapping[tuple[str, str], tuple[int, ...]]


def speeds_of(trials: Sequence[MeasuredTrial], *, are_mixed: bool = False) -> list[Speed]:
    """Return what trials with one draft come to, for each kind of prompts, number of sessions and variant.

    Where the kinds `are_mixed`, as under load, they are all together, also those of a single prompt.

    What was answered with a single arrival of text has no speed, and is left out.
    """
    alone_ids = _alone_ids(trials)
    found: list[Speed] = []
    for num_sessions in sorted({len(trial.answers) for trial in trials}):
        at_once = [trial for trial in trials if len(trial.answers) == num_sessions]
        for kind in [ALL_KINDS] if are_mixed else list(dict.fromkeys(trial.kind for trial in at_once)):
            same = [trial for trial in at_once if are_mixed or trial.kind == kind]
            for variant in variants_of(same):
                speed = _speed(same, kind, variant, alone_ids)
                found += [speed] if speed is not None else []
    return found


def variants_of(trials: Sequence[MeasuredTrial]) -> list[Variant]:
    """Return the variants: the target alone, then by number, adaptive last."""
    return sorted(
        {trial.variant for trial in trials},
        key=lambda variant: (variant != TARGET_ONLY, variant == ADAPTIVE, variant.num_draft_tokens),
    )


def speed_ups_of(trials: Sequence[MeasuredTrial], variant: Variant) -> list[float]:
    """Return a variant's tokens a second over the target alone's, of each repeat and the same prompts."""
    return paired_ratios(_rates(with_variant(trials, variant)), _rates(with_variant(trials, TARGET_ONLY)))


def _speed(
    trials: Sequence[MeasuredTrial], kind: str, variant: Variant, alone_ids: AnswerIds
) -> Speed | None:
    own = with_variant(trials, variant)
    answers = [answer for trial in own for answer in trial.answers]
    # A list, as trials of several clusters have the same keys.
    rates = [rate for trial in own if (rate := trial.tokens_per_second) is not None]
    latency = latency_of(answers)
    if not rates or latency is None:
        return None
    is_alone = variant == TARGET_ONLY
    return Speed(
        draft="" if is_alone else own[0].draft,
        kind=kind,
        variant=variant.name,
        num_draft_tokens=variant.num_draft_tokens if variant.mode is SpeculationMode.FIXED else None,
        num_sessions=len(own[0].answers),
        tokens_per_second=estimate_of(rates),
        speed_up=None if is_alone else _estimate_if_any(speed_ups_of(trials, variant)),
        predicted_speed_up=None,
        tokens_per_round=None if is_alone else tokens_per_round_of(answers),
        acceptance=None if is_alone else acceptance_of(answers),
        latency=latency,
        is_identical=all(_is_identical(answer, alone_ids) for answer in answers),
        cpu_seconds_per_token=cpu_seconds_per_token_of(own),
        memory_bytes=_most_memory(own),
    )


def acceptance_of(answers: Sequence[Answer]) -> float | None:
    """Return the share of draft tokens that the target accepted; None without any."""
    num_drafted = sum(answer.num_draft_tokens for answer in answers)
    return sum(answer.num_accepted_tokens for answer in answers) / num_drafted if num_drafted else None


def tokens_per_round_of(answers: Sequence[Answer]) -> float | None:
    """Return the tokens that a round with a draft brought, the target's own one counted; None without any."""
    num_rounds = sum(answer.num_drafted_rounds for answer in answers)
    return 1 + sum(answer.num_accepted_tokens for answer in answers) / num_rounds if num_rounds else None


def cpu_seconds_per_token_of(trials: Sequence[MeasuredTrial]) -> dict[str, float]:
    """Return the CPU seconds of each pool for a token; empty where they are not known."""
    known = [trial for trial in trials if trial.cpu_seconds]
    num_tokens = sum(trial.num_tokens for trial in known)
    pools = dict.fromkeys(pool for trial in known for pool in trial.cpu_seconds)
    return {pool: sum(trial.cpu_seconds.get(pool, 0.0) for trial in known) / num_tokens for pool in pools}


def _rates(trials: Sequence[MeasuredTrial]) -> dict[TrialKey, float]:
    return {trial.key: rate for trial in trials if (rate := trial.tokens_per_second) is not None}


def _estimate_if_any(values: Sequence[float]) -> Estimate | None:
    return estimate_of(values) if values else None


def _alone_ids(trials: Sequence[MeasuredTrial]) -> AnswerIds:
    """Return the ids of the target alone, of the first run of each prompt."""
    ids: dict[tuple[str, str], tuple[int, ...]] = {}
    for trial in with_variant(trials, TARGET_ONLY):
        for answer in trial.answers:
            ids.setdefault((answer.kind, answer.prompt), answer.token_ids)
    return ids


def _is_identical(answer: Answer, alone_ids: AnswerIds) -> bool:
    return alone_ids.get((answer.kind, answer.prompt), answer.token_ids) == answer.token_ids


def _most_memory(trials: Sequence[MeasuredTrial]) -> dict[str, int]:
    pools = dict.fromkeys(pool for trial in trials for pool in trial.memory_bytes)
    return {pool: max(trial.memory_bytes.get(pool, 0) for trial in trials) for pool in pools}
