"""A verdict in plain words."""

from dataclasses import dataclass
from typing import NamedTuple

from paceline.cli.evaluation.findings import Estimate, Evaluation, KindVerdict, Speed, Verdict
from paceline.cli.evaluation.report.located import Located
from paceline.cli.evaluation.report.speeds import best_fixed, of_draft, of_kind, with_number
from paceline.cli.evaluation.report.teller import Teller
from paceline.cli.evaluation.report.units import COUNT, ROUGH_SHARE, TIMES

DO_NOT_USE = "do-not-use"
USE_FOR_SOME = "use-for-some"


class Figure(NamedTuple):
    """A number to be seen from afar, what it is, and what else is to be known of it."""

    value: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class Statement:
    """What to do with a draft, then why, and what to beware of.

    `fastest` names the fastest K of each kind: all of a draft that is not to be used, else those that are not the
    recommended one. It is empty where there is none.
    """

    verdict: Located[Verdict]
    headline: str
    figures: tuple[Figure, ...]
    sentences: tuple[str, ...]
    fastest: str


def statement_of(verdict: Located[Verdict], evaluation: Located[Evaluation], tell: Teller) -> Statement:
    """Return what a verdict says."""
    own = of_draft(evaluation.speed, verdict.raw.draft)
    sentences = (
        *(() if verdict.raw.answer == DO_NOT_USE else _warnings(verdict, tell)),
        tell.say(
            f"verdict.reason-{verdict.raw.reason}", acceptance=tell.measure(verdict.acceptance, ROUGH_SHARE)
        ),
        _break_even(verdict, tell),
    )
    return Statement(
        verdict,
        _headline(verdict, own, tell),
        tuple(_figures(verdict, own, tell)),
        tuple(sentence for sentence in sentences if sentence),
        _fastest(verdict, own, tell),
    )


def _headline(verdict: Located[Verdict], own: list[Located[Speed]], tell: Teller) -> str:
    draft = tell.name(verdict.draft)
    if verdict.raw.answer == DO_NOT_USE:
        return tell.say("verdict.do-not-use", draft=draft)
    paying = [one for one in verdict.kinds if one.raw.num_draft_tokens is not None]
    others = [one for one in verdict.kinds if one.raw.num_draft_tokens is None]
    k = tell.number(verdict.num_draft_tokens, COUNT)
    gains = tell.series([_gain(one, verdict, own, tell) for one in paying or others])
    if verdict.raw.answer == USE_FOR_SOME and paying and others:
        kinds, leftover = _names(paying, tell), _names(others, tell)
        return tell.say("verdict.use-for-some", draft=draft, k=k, gains=gains, kinds=kinds, others=leftover)
    return tell.say("verdict.use", draft=draft, k=k, gains=gains)


def _gain(
    one: Located[KindVerdict], verdict: Located[Verdict], own: list[Located[Speed]], tell: Teller
) -> str:
    speed_up = tell.estimate(_recommended(one, verdict, own), TIMES)
    return tell.say("verdict.gain", kind=tell.kind(one.raw.kind), speed_up=speed_up)


def _recommended(
    one: Located[KindVerdict], verdict: Located[Verdict], own: list[Located[Speed]]
) -> Located[Estimate]:
    """The speed-up of the recommended K on a kind, whose own best may be another K."""
    measured = with_number(of_kind(own, one.raw.kind), verdict.raw.num_draft_tokens)
    return one.speed_up if measured is None or measured.raw.speed_up is None else measured.speed_up


def _names(kinds: list[Located[KindVerdict]], tell: Teller) -> str:
    return tell.series([tell.kind(one.raw.kind) for one in kinds])


def _worst(verdict: Located[Verdict]) -> Located[KindVerdict]:
    return min(verdict.kinds, key=lambda one: one.raw.worst_speed_up)


def _longest_wait(verdict: Located[Verdict]) -> Located[KindVerdict]:
    return max(verdict.kinds, key=lambda one: one.raw.worst_gap_ratio)


def _warnings(verdict: Located[Verdict], tell: Teller) -> tuple[str, ...]:
    """The worst case, and what guards against it."""
    if not verdict.raw.kinds:
        return ()
    worst, longest = _worst(verdict), _longest_wait(verdict)
    is_slower = worst.raw.worst_speed_up < 1
    return (
        tell.say(
            "verdict.worst-slower" if is_slower else "verdict.worst-faster",
            k=tell.number(verdict.num_draft_tokens, COUNT),
            kind=tell.kind(worst.raw.kind),
            speed_up=tell.measure(worst.worst_speed_up, TIMES),
        ),
        tell.say(
            "verdict.pause",
            kind=tell.kind(longest.raw.kind),
            ratio=tell.measure(longest.worst_gap_ratio, TIMES),
        ),
        _guard(verdict, tell),
    )


def _guard(verdict: Located[Verdict], tell: Teller) -> str:
    if all(kind.adaptive_speed_up is None for kind in verdict.raw.kinds):
        return tell.say("verdict.adaptive-unknown")
    key = "verdict.guarded" if verdict.raw.is_adaptive_safe else "verdict.not-guarded"
    return tell.say(key, tolerance=tell.measure(verdict.tolerance, ROUGH_SHARE))


def _break_even(verdict: Located[Verdict], tell: Teller) -> str:
    """From which share on the draft pays, reckoned from steps alone: the services may say otherwise."""
    raw = verdict.raw
    if raw.break_even_acceptance is None:
        return tell.say("verdict.no-break-even") if raw.answer == DO_NOT_USE else ""
    should_pay = raw.acceptance >= raw.break_even_acceptance
    key = "verdict.break-even-missed" if should_pay and raw.answer == DO_NOT_USE else "verdict.break-even"
    return tell.say(key, break_even=tell.measure(verdict.break_even_acceptance, ROUGH_SHARE))


def _fastest(verdict: Located[Verdict], own: list[Located[Speed]], tell: Teller) -> str:
    measured = [best_fixed(of_kind(own, one.raw.kind)) for one in verdict.kinds]
    gains = [
        tell.say(
            "verdict.gain-of",
            kind=tell.kind(speed.raw.kind),
            variant=tell.variant(speed),
            speed_up=tell.estimate(speed.speed_up, TIMES),
        )
        for speed in measured
        if speed is not None and speed.raw.num_draft_tokens != verdict.raw.num_draft_tokens
    ]
    key = "verdict.best" if verdict.raw.answer == DO_NOT_USE else "verdict.other-best"
    return tell.say(key, gains=tell.series(gains)) if gains else ""


def _figures(verdict: Located[Verdict], own: list[Located[Speed]], tell: Teller) -> list[Figure]:
    acceptance = Figure(
        tell.measure(verdict.acceptance, ROUGH_SHARE),
        tell.say("verdict.figure-acceptance"),
        ""
        if verdict.raw.break_even_acceptance is None
        else tell.say(
            "verdict.figure-break-even", share=tell.measure(verdict.break_even_acceptance, ROUGH_SHARE)
        ),
    )
    if not verdict.raw.kinds:
        return [acceptance]
    best = max(verdict.kinds, key=lambda one: _recommended(one, verdict, own).raw.value)
    fastest = _recommended(best, verdict, own)
    gain = Figure(
        tell.measure(fastest.value, TIMES),
        tell.say("verdict.figure-best", kind=tell.kind(best.raw.kind)),
        tell.interval(fastest, TIMES),
    )
    if verdict.raw.answer == DO_NOT_USE:
        return [gain, acceptance]
    worst, longest = _worst(verdict), _longest_wait(verdict)
    return [
        gain,
        Figure(
            tell.measure(worst.worst_speed_up, TIMES),
            tell.say("verdict.figure-worst", kind=tell.kind(worst.raw.kind)),
        ),
        Figure(
            tell.measure(longest.worst_gap_ratio, TIMES),
            tell.say("verdict.figure-pause", kind=tell.kind(longest.raw.kind)),
        ),
        acceptance,
    ]
