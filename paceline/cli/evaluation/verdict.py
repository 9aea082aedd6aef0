"""What to do about a draft: plain data in, plain data out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from paceline.cli.evaluation.findings import Estimate, KindVerdict, Verdict

# Adaptive mode may be so much slower than the target alone before it counts as slower.
TOLERANCE = 0.03

USE, USE_FOR_SOME, DO_NOT_USE = "use", "use-for-some", "do-not-use"


@dataclass(frozen=True)
class Contender:
    """One way of generating with a draft, on prompts of one kind.

    Attributes:
        kind: Of the prompts.
        num_draft_tokens: K; None for adaptive mode.
        speed_up: Over the target alone.
        worst_speed_up: That of the worst trial.
        worst_gap_ratio: The longest wait between two arrivals of text over the target alone's longest.
    """

    kind: str
    num_draft_tokens: int | None
    speed_up: Estimate
    worst_speed_up: float
    worst_gap_ratio: float

    @property
    def pays(self) -> bool:
        """Whether it is faster than the target alone beyond noise."""
        return self.speed_up.low > 1


def verdict_of(
    draft: str,
    contenders: Sequence[Contender],
    acceptance: float,
    break_even: Mapping[str, float | None],
    adaptive_under_load: Sequence[Estimate] = (),
) -> Verdict | None:
    """Return the verdict on a draft; None where no fixed K was measured.

    Args:
        draft: Its name.
        contenders: All Ks and adaptive mode, on all kinds.
        acceptance: Share of the target's tokens that the draft would have chosen, over all kinds.
        break_even: By K as text, the share at which it just pays, from steps measured alone; None where none does.
        adaptive_under_load: Speed-ups of adaptive mode with more sessions at once.
    """
    fixed = [one for one in contenders if one.num_draft_tokens is not None]
    if not fixed:
        return None
    best = best_num_draft_tokens(fixed)
    kinds = tuple(_kind_verdict(contenders, kind, best) for kind in dict.fromkeys(one.kind for one in fixed))
    recommended = [one for one in fixed if one.num_draft_tokens == best]
    answer = _answer(recommended, kinds)
    adaptive = [one.speed_up for one in contenders if one.num_draft_tokens is None] + [*adaptive_under_load]
    return Verdict(
        draft,
        answer,
        None if answer == DO_NOT_USE else best,
        _reason(answer, recommended, acceptance, break_even.get(str(best))),
        kinds,
        is_adaptive_safe=bool(adaptive) and all(one.high >= 1 - TOLERANCE for one in adaptive),
        tolerance=TOLERANCE,
        acceptance=acceptance,
        break_even_acceptance=break_even.get(str(best)),
    )


def best_num_draft_tokens(contenders: Sequence[Contender]) -> int:
    """Return the K of the highest geometric mean speed-up over all kinds, of equals the smallest."""
    by_number: dict[int, list[float]] = {}
    for one in contenders:
        if one.num_draft_tokens is not None:
            by_number.setdefault(one.num_draft_tokens, []).append(one.speed_up.value)
    return max(sorted(by_number), key=lambda number: geometric_mean(by_number[number]))


def _kind_verdict(contenders: Sequence[Contender], kind: str, recommended: int) -> KindVerdict:
    same = [one for one in contenders if one.kind == kind]
    fixed = [one for one in same if one.num_draft_tokens is not None]
    best = max(fixed, key=lambda one: one.speed_up.value)
    shared = next((one for one in fixed if one.num_draft_tokens == recommended), best)
    adaptive = next((one.speed_up for one in same if one.num_draft_tokens is None), None)
    return KindVerdict(
        kind,
        best.num_draft_tokens if best.pays else None,
        best.speed_up,
        adaptive,
        shared.worst_speed_up,
        shared.worst_gap_ratio,
    )


def _answer(recommended: Sequence[Contender], kinds: Sequence[KindVerdict]) -> str:
    """Say "use" only where one K is faster on every kind beyond noise."""
    if all(one.pays for one in recommended):
        return USE
    return USE_FOR_SOME if any(kind.num_draft_tokens is not None for kind in kinds) else DO_NOT_USE


def _reason(
    answer: str, recommended: Sequence[Contender], acceptance: float, break_even: float | None
) -> str:
    if answer != DO_NOT_USE:
        return "pays" if answer == USE else "pays-for-some"
    if geometric_mean([one.speed_up.value for one in recommended]) > 1:
        return "within-noise"
    # Where no acceptance would pay, or this one should, the draft itself takes too long.
    return "low-acceptance" if break_even is not None and acceptance < break_even else "slow-draft"
