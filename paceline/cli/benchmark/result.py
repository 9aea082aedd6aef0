"""What trials came to, computed from what arrived at the client."""

from collections.abc import Sequence
from dataclasses import dataclass

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.benchmark.spread import Spread, percentile, spread_of
from paceline.cli.benchmark.trial import ADAPTIVE, TARGET_ONLY, Trial, Variant
from paceline.client.generation import SpeculationSummary


@dataclass(frozen=True)
class VariantResult:
    """One variant over the prompts of one kind.

    Attributes:
        tokens_per_second: Of all sessions together, the prompts' time included.
        speed_up: The same divided by the target alone's on the same prompts in the same repeat; None for itself.
        decode_tokens_per_second: After the first tokens.
        decode_speed_up: As `speed_up`, after the first tokens.
        acceptance: Accepted draft tokens of all draft tokens; None without any.
        mean_accepted_length: Tokens that a round with a draft brought: 1 + accepted per round; None without any.
        cpu_seconds_per_token: Of all processes of the cluster together; None where they are not known.
        num_identical: Completions whose ids equal those of the first target-only run of their prompt.
        num_completions: Completions compared.
        num_tokens_compared: Ids compared.
    """

    kind: str
    variant: Variant
    tokens_per_second: Spread | None
    speed_up: Spread | None
    decode_tokens_per_second: Spread | None
    decode_speed_up: Spread | None
    acceptance: float | None
    mean_accepted_length: float | None
    time_to_first_token_seconds: Spread | None
    token_seconds_p50: float | None
    token_seconds_p95: float | None
    token_seconds_p99: float | None
    time_to_first_token_p99_seconds: float | None
    cpu_seconds_per_token: float | None
    num_identical: int
    num_completions: int
    num_tokens_compared: int

    @property
    def is_identical(self) -> bool:
        """Whether every completion had the target's own ids."""
        return self.num_identical == self.num_completions


def results_of(trials: Sequence[Trial]) -> list[VariantResult]:
    """Return a result for each kind of prompt and variant, in the order of their first trials."""
    kinds = list(dict.fromkeys(trial.plan.prompts[0].kind for trial in trials))
    variants = sorted({trial.plan.variant for trial in trials}, key=_place)
    baseline = _baseline_ids(trials)
    results: list[VariantResult] = []
    for kind in kinds:
        same_kind = [trial for trial in trials if trial.plan.prompts[0].kind == kind]
        results += [_result(kind, variant, same_kind, baseline) for variant in variants]
    return results


def _place(variant: Variant) -> tuple[bool, bool, int]:
    """The target alone first, then by number, adaptive last."""
    return variant != TARGET_ONLY, variant == ADAPTIVE, variant.num_draft_tokens


def _baseline_ids(trials: Sequence[Trial]) -> dict[BenchPrompt, tuple[int, ...]]:
    """The ids of the first target-only run of each prompt."""
    ids: dict[BenchPrompt, tuple[int, ...]] = {}
    for trial in trials:
        if trial.plan.variant == TARGET_ONLY:
            for prompt, completion in zip(trial.plan.prompts, trial.completions, strict=True):
                ids.setdefault(prompt, completion.token_ids)
    return ids


def _result(
    kind: str,
    variant: Variant,
    trials: Sequence[Trial],
    baseline: dict[BenchPrompt, tuple[int, ...]],
) -> VariantResult:
    own = [trial for trial in trials if trial.plan.variant == variant]
    alone = {
        (trial.plan.repeat, trial.plan.prompts): trial
        for trial in trials
        if trial.plan.variant == TARGET_ONLY and variant != TARGET_ONLY
    }
    pairs = [
        (trial, alone[key]) for trial in own if (key := (trial.plan.repeat, trial.plan.prompts)) in alone
    ]
    completions = [completion for trial in own for completion in trial.completions]
    prompts = [prompt for trial in own for prompt in trial.plan.prompts]
    compared = [
        (completion.token_ids, baseline[prompt])
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
    token_seconds = [seconds for completion in completions for seconds in completion.token_seconds]
    summaries = [completion.summary.speculation for completion in completions]
    return VariantResult(
        kind,
        variant,
        spread_of(trial.tokens_per_second for trial in own),
        spread_of(trial.tokens_per_second / base.tokens_per_second for trial, base in pairs),
        spread_of(rate for trial in own if (rate := trial.decode_tokens_per_second)),
        spread_of(_decode_ratios(pairs)),
        acceptance_of(summaries),
        mean_accepted_length_of(summaries),
        spread_of(completion.time_to_first_token_seconds for completion in completions),
        percentile(token_seconds, 0.5),
        percentile(token_seconds, 0.95),
        percentile(token_seconds, 0.99),
        percentile((completion.time_to_first_token_seconds for completion in completions), 0.99),
        cpu_seconds_per_token_of(own),
        sum(ids == expected for ids, expected in compared),
        len(compared),
        sum(len(ids) for ids, _ in compared),
    )


def acceptance_of(summaries: Sequence[SpeculationSummary]) -> float | None:
    """Return the share of draft tokens that were accepted; None without any."""
    num_drafted = sum(one.num_draft_tokens for one in summaries)
    return sum(one.num_accepted_tokens for one in summaries) / num_drafted if num_drafted else None


def mean_accepted_length_of(summaries: Sequence[SpeculationSummary]) -> float | None:
    """Return the tokens that a round with a draft brought on average, the target's own one counted."""
    num_rounds = sum(one.num_drafted_per_position[0] for one in summaries if one.num_drafted_per_position)
    return 1 + sum(one.num_accepted_tokens for one in summaries) / num_rounds if num_rounds else None


def cpu_seconds_per_token_of(trials: Sequence[Trial]) -> float | None:
    """Return the CPU seconds of all processes for a token; None where they are not known."""
    known = [(trial.cpu_seconds, trial.num_tokens) for trial in trials if trial.cpu_seconds is not None]
    return sum(seconds for seconds, _ in known) / sum(number for _, number in known) if known else None


def _decode_ratios(pairs: Sequence[tuple[Trial, Trial]]) -> list[float]:
    rates = [(trial.decode_tokens_per_second, base.decode_tokens_per_second) for trial, base in pairs]
    return [rate / base_rate for rate, base_rate in rates if rate and base_rate]
