"""Finds what was measured through the services."""

from collections.abc import Iterable

from paceline.cli.evaluation.findings import Evaluation, Speed, Verdict
from paceline.cli.evaluation.report.located import Located

ADAPTIVE = "adaptive"
TARGET_ONLY = "target-only"


def drafts_of(evaluation: Located[Evaluation]) -> list[str]:
    """Return the names of the drafts, in the order of their verdicts."""
    raw = evaluation.raw
    told = [verdict.draft for verdict in raw.verdicts]
    measured = [speed.draft for speed in (*raw.speed, *raw.load) if speed.draft]
    read = [one.draft for one in raw.acceptance]
    return list(dict.fromkeys((*told, *measured, *read)))


def kinds_of(speeds: Iterable[Located[Speed]]) -> list[str]:
    """Return the kinds of prompts in the order of their measurements."""
    return list(dict.fromkeys(speed.raw.kind for speed in speeds))


def of_draft(speeds: Iterable[Located[Speed]], draft: str) -> list[Located[Speed]]:
    """Return what was measured with a draft: each K, then adaptive mode."""
    own = [speed for speed in speeds if speed.raw.draft == draft]
    return sorted(own, key=lambda speed: _place(speed.raw))


def of_kind(speeds: Iterable[Located[Speed]], kind: str) -> list[Located[Speed]]:
    """Return what was measured on prompts of a kind."""
    return [speed for speed in speeds if speed.raw.kind == kind]


def alone(speeds: Iterable[Located[Speed]], kind: str) -> Located[Speed] | None:
    """Return what the target alone came to on prompts of a kind."""
    return next((one for one in of_kind(speeds, kind) if one.raw.variant == TARGET_ONLY), None)


def best_fixed(speeds: Iterable[Located[Speed]]) -> Located[Speed] | None:
    """Return the fastest of those with a fixed K."""
    known = [speed for speed in speeds if speed.raw.num_draft_tokens is not None and speed.raw.speed_up]
    return max(known, key=_speed_up, default=None)


def with_number(speeds: Iterable[Located[Speed]], num_draft_tokens: int | None) -> Located[Speed] | None:
    """Return what was measured with a fixed K; None where K is none."""
    matches = (speed for speed in speeds if speed.raw.num_draft_tokens == num_draft_tokens)
    return next(matches, None) if num_draft_tokens is not None else None


def adaptive(speeds: Iterable[Located[Speed]]) -> Located[Speed] | None:
    """Return what adaptive mode came to."""
    return next((speed for speed in speeds if speed.raw.variant == ADAPTIVE), None)


def telling(evaluation: Located[Evaluation], kind: str) -> list[Located[Speed]]:
    """Return what a reader has to compare on a kind: the target alone, and of each draft the best K and adaptive mode.

    The best K is the verdict's; where it has none, the fastest on this kind.
    """
    speeds = list(evaluation.speed)
    chosen = [alone(speeds, kind)]
    for draft in drafts_of(evaluation):
        own = of_kind(of_draft(speeds, draft), kind)
        recommended = with_number(own, recommended_number(evaluation.raw.verdicts, draft))
        chosen += [recommended or best_fixed(own), adaptive(own)]
    return [speed for speed in chosen if speed is not None]


def is_identical(speeds: Iterable[Speed]) -> bool | None:
    """Return whether all answers had the target's own ids; None without any."""
    known = [speed.is_identical for speed in speeds]
    return all(known) if known else None


def recommended_number(verdicts: Iterable[Verdict], draft: str) -> int | None:
    """Return the K that a draft's verdict recommends."""
    return next((one.num_draft_tokens for one in verdicts if one.draft == draft), None)


def _speed_up(speed: Located[Speed]) -> float:
    return speed.raw.speed_up.value if speed.raw.speed_up is not None else 0.0


def _place(speed: Speed) -> tuple[bool, int]:
    """Fixed numbers ascending, then adaptive mode."""
    return speed.num_draft_tokens is None, speed.num_draft_tokens or 0
