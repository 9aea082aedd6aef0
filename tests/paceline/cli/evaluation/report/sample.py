"""A whole evaluation of two drafts, of which one pays, as plausible as arithmetic makes it."""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from paceline.cli.benchmark.machine import Machine
from paceline.cli.evaluation.findings import (
    About,
    Acceptance,
    CacheCost,
    Cost,
    DraftFormat,
    Estimate,
    Evaluation,
    FormatPair,
    KindVerdict,
    KvMemory,
    Latency,
    ModelFacts,
    Prices,
    RoundCost,
    SizeRatio,
    Speed,
    TargetFormat,
    Verdict,
)

TARGET = "qwen2.5-coder-1.5b-instruct"
GOOD = "qwen2.5-coder-0.5b-instruct"
BAD = "scrambled-0.5b"
SHARES = {
    GOOD: {"code": 0.78, "prose": 0.61, "chat": 0.66, "summary": 0.7, "japanese": 0.58},
    BAD: {"code": 0.18, "prose": 0.1, "chat": 0.12, "summary": 0.15, "japanese": 0.08},
}
NUMBERS = (2, 3, 5, 8)
RECOMMENDED = 3
_TARGET_STEP, _DRAFT_STEP = 0.105, 0.0214
_KV_BYTES = {TARGET: 28_672, GOOD: 12_288, BAD: 12_288}


@cache
def sample() -> Evaluation:
    """Return the evaluation."""
    return Evaluation(
        about=_about(),
        prices=Prices(draft_core_hour=0.021, target_core_hour=0.064, kwh=0.28, watts_per_core=6.5),
        models=tuple(_models()),
        acceptance=tuple(_acceptance()),
        round_costs=tuple(_round_costs()),
        speed=tuple(_speed()),
        size_ratios=(
            SizeRatio(GOOD, 3.125, 4.31, 4.91, {"2": 0.28, "3": 0.37, "5": 0.5, "8": 0.64}),
            SizeRatio(BAD, 3.125, 4.31, 4.87, {"2": 0.28, "3": 0.37, "5": 0.51, "8": None}),
        ),
        kv_memory=tuple(_kv_memory()),
        cache_costs=(
            CacheCost("target", TARGET, 512, 512 * 28_672, 6.81, 12.96),
            CacheCost("draft", GOOD, 512, 512 * 12_288, 2.07, 3.9),
            CacheCost("draft", BAD, 512, 512 * 12_288, 2.11, 3.95),
        ),
        target_formats=tuple(_target_formats()),
        draft_formats=tuple(_draft_formats()),
        format_pairs=tuple(_format_pairs()),
        load=tuple(_load()),
        costs=tuple(_costs()),
        verdicts=tuple(_verdicts()),
    )


def left_out() -> Evaluation:
    """Return an evaluation of which nothing was measured."""
    about = replace(_about(), notes=(), num_prompts_by_kind={})
    return Evaluation(about, Prices(), (), (), (), (), (), (), (), (), (), (), (), (), ())


def _about() -> About:
    return About(
        command="paceline evaluate --pair reference --quick",
        machine=Machine("AMD EPYC 9B14", 2, 2, 7.8, "6.6.114"),
        versions={"python": "3.11.2", "paceline": "0.1.0", "openvino": "2026.4.1", "commit": "0123456789ab"},
        cores="draft=0,target=1",
        amount="quick",
        started="2026-11-28T21:50:05+00:00",
        seconds=802.4,
        num_prompts_by_kind=dict.fromkeys(SHARES[GOOD], 1),
        max_tokens=32,
        num_repeats=3,
        notes=("The speed of 5 of 25 prompts was measured; --thorough measures more.",),
    )


def _estimate(value: float, spread: float = 0.06, count: int = 3) -> Estimate:
    return Estimate(value, value * (1 - spread), value * (1 + 0.8 * spread), count)


def _off(*causes: float) -> float:
    """What a measurement is off by, from 0.95 to 1.05, the same each time."""
    return 1 + 0.05 * math.sin(17.3 * sum((place + 1) * one for place, one in enumerate(causes)))


def _models() -> Iterator[ModelFacts]:
    yield ModelFacts(
        "target", TARGET, "int8", "f32", "f32", "CPU", True, 1_543_714_304, 1_552_000_000, 28, 2, 128, 57_344
    )
    for draft in (GOOD, BAD):
        yield ModelFacts(
            "draft", draft, "int4", "f32", "f32", "CPU", True, 494_032_768, 360_000_000, 24, 2, 64, 24_576
        )


def _tokens_per_round(share: float, number: int) -> float:
    return (1 - share ** (number + 1)) / (1 - share)


def _round_seconds(number: int) -> float:
    return _TARGET_STEP * (1 + 0.03 * number) + _DRAFT_STEP * number


def _expected_speed_up(share: float, number: int) -> float:
    return _tokens_per_round(share, number) * _TARGET_STEP / _round_seconds(number)


def _acceptance() -> Iterator[Acceptance]:
    for draft, by_kind in SHARES.items():
        mean = sum(by_kind.values()) / len(by_kind)
        for kind, share in {**by_kind, "all": mean}.items():
            for sampling, loss in (("greedy", 0.0), ("T = 0.7", 0.06)):
                seen = share - loss
                is_greedy = sampling == "greedy"
                yield Acceptance(
                    draft,
                    kind,
                    sampling,
                    num_positions=960 if kind == "all" else 192,
                    observed=_estimate(seen, 0.04),
                    # Few rounds of a bad draft get to the last places.
                    per_position=tuple(seen - 0.008 * place for place in range(8 if draft == GOOD else 2)),
                    expected_shared=None if is_greedy else seen * 1.01,
                    expected_rejection=None if is_greedy else seen * 1.04,
                    optimum=None if is_greedy else seen * 1.06,
                    tokens_per_round={str(number): _tokens_per_round(seen, number) for number in NUMBERS},
                )


def _round_costs() -> Iterator[RoundCost]:
    for draft in SHARES:
        for number in NUMBERS:
            seconds = _round_seconds(number)
            is_seen = draft == GOOD or number < 8
            yield RoundCost(draft, number, seconds - 0.03 if is_seen else None, seconds, 60 - number)


def _latency(gap: float, worst: float, rate: float) -> Latency:
    request = 1.1 + 31 / rate
    return Latency(
        gap_mean=gap,
        gap_p50=0.96 * gap,
        gap_p95=1.2 * gap,
        gap_p99=1.45 * gap,
        gap_worst=worst * gap,
        request_mean=request,
        request_p50=0.99 * request,
        request_p95=1.12 * request,
        request_p99=1.18 * request,
        request_worst=1.21 * request,
        first_token_p50=1.08,
        first_token_worst=1.34,
    )


def _alone(kind: str, num_sessions: int = 1) -> Speed:
    rate = num_sessions**0.7 / _TARGET_STEP
    return Speed(
        draft="",
        kind=kind,
        variant="target-only",
        num_draft_tokens=None,
        num_sessions=num_sessions,
        tokens_per_second=_estimate(rate, 0.02),
        speed_up=None,
        predicted_speed_up=None,
        tokens_per_round=None,
        acceptance=None,
        latency=_latency(_TARGET_STEP * num_sessions**0.3, 1.7, rate / num_sessions),
        is_identical=True,
        cpu_seconds_per_token={"draft": 0.0002, "target": 0.104, "orchestrator": 0.0021},
        memory_bytes={"draft": 612 << 20, "target": 1_890 << 20, "orchestrator": 171 << 20},
    )


def _drafted(draft: str, kind: str, share: float, number: int | None, num_sessions: int = 1) -> Speed:
    """Return one way; adaptive mode takes the best K, or none where that does not pay."""
    tried = number or max(NUMBERS, key=lambda one: _expected_speed_up(share, one))
    expected = _expected_speed_up(share, tried) ** (1 / num_sessions**0.3)
    if number is None:
        expected = max(1.0, 0.98 * expected)
    measured = expected * _off(share, tried, len(draft))
    rate = measured * num_sessions**0.7 / _TARGET_STEP
    return Speed(
        draft=draft,
        kind=kind,
        variant="adaptive" if number is None else f"K = {number}",
        num_draft_tokens=number,
        num_sessions=num_sessions,
        tokens_per_second=_estimate(rate, 0.05),
        speed_up=_estimate(measured, 0.05),
        predicted_speed_up=None if number is None or num_sessions > 1 else expected,
        tokens_per_round=_tokens_per_round(share, tried),
        acceptance=(_tokens_per_round(share, tried) - 1) / tried,
        latency=_latency(_round_seconds(tried), 1.9, rate / num_sessions),
        is_identical=True,
        cpu_seconds_per_token={"draft": 0.031, "target": 0.104 / measured, "orchestrator": 0.0017},
        memory_bytes={"draft": 648 << 20, "target": 1_902 << 20, "orchestrator": 173 << 20},
    )


def _speed() -> Iterator[Speed]:
    yield from (_alone(kind) for kind in SHARES[GOOD])
    for draft, by_kind in SHARES.items():
        for kind, share in by_kind.items():
            for number in (*NUMBERS, None):
                yield _drafted(draft, kind, share, number)


def _load() -> Iterator[Speed]:
    for num_sessions in (1, 4, 16):
        yield _alone("all", num_sessions)
    for draft in SHARES:
        for number in (RECOMMENDED, None):
            for num_sessions in (1, 4, 16):
                yield _drafted(draft, "all", 0.66 if draft == GOOD else 0.12, number, num_sessions)


def _kv_memory() -> Iterator[KvMemory]:
    for model, in_bf16 in _KV_BYTES.items():
        for precision, predicted in (("bf16", in_bf16), ("f32", 2 * in_bf16), ("u8", in_bf16 * 0.5625)):
            yield KvMemory(
                role="target" if model == TARGET else "draft",
                model=model,
                precision=precision,
                predicted_bytes_per_token=predicted,
                # u8 is not read here, as on a machine that does not tell.
                measured_bytes_per_token=None if precision == "u8" else predicted * 1.012,
                num_measured_tokens=8192,
                session_tokens=2048,
                bytes_per_session=round(2048 * predicted),
                sessions_in_budget=int((512 << 20) / (2048 * predicted)),
                budget_bytes=512 << 20,
            )


_WEIGHTS = {
    "f16": (3_090_000_000, 1.9, 1.0),
    "int8": (1_552_000_000, 1.0, 0.984),
    "int4": (980_000_000, 0.74, 0.9),
}


def _target_formats() -> Iterator[TargetFormat]:
    for weights, (size, slowness, agreement) in _WEIGHTS.items():
        for precision in ("bf16", "u8"):
            step = _TARGET_STEP * slowness
            is_reference = (weights, precision) == ("f16", "bf16")
            yield TargetFormat(
                weights,
                precision,
                "bf16" if weights == "f16" else "f32",
                size,
                size + (250 << 20),
                _estimate(step, 0.03, 20),
                _estimate(step * 1.17, 0.03, 20),
                6.42 + 2.1 * (1 - agreement) + (0.02 if precision == "u8" else 0.0),
                1.0 if is_reference else agreement - (0.006 if precision == "u8" else 0.0),
                "f16, KV bf16",
                is_batch_invariant=precision == "bf16",
            )


def _draft_formats() -> Iterator[DraftFormat]:
    for weights, (size, slowness, _) in _WEIGHTS.items():
        yield DraftFormat(
            GOOD,
            weights,
            "bf16",
            "f32",
            size // 3,
            size // 3 + (120 << 20),
            _estimate(0.029 * slowness, 0.04, 20),
            is_batch_invariant=True,
        )


def _format_pairs() -> Iterator[FormatPair]:
    for precision in ("bf16", "u8"):
        for target_weights, (_, target_slowness, agreement) in _WEIGHTS.items():
            for draft_weights, (_, draft_slowness, draft_agreement) in _WEIGHTS.items():
                gain = 1 + 0.72 * agreement * draft_agreement / (0.6 + 0.4 * draft_slowness)
                yield FormatPair(
                    GOOD,
                    target_weights,
                    draft_weights,
                    precision,
                    acceptance=0.68 * agreement * draft_agreement,
                    best_num_draft_tokens=3,
                    expected_speed_up=gain,
                    relative_speed=gain * 1.9 / target_slowness,
                )


def _costs() -> Iterator[Cost]:
    ways: list[tuple[str, str, float]] = [("", "target-only", 1.0)]
    ways += [(GOOD, "K = 3", 0.71), (GOOD, "adaptive", 0.73), (BAD, "K = 3", 1.6), (BAD, "adaptive", 1.01)]
    for draft, variant, factor in ways:
        for num_sessions in (1, 16):
            target = 29.2 * factor / num_sessions**0.3
            hours = {"draft": 8.3 if draft else 0.06, "target": target, "orchestrator": 0.52}
            total = sum(hours.values())
            yield Cost(
                draft,
                variant,
                num_sessions,
                core_hours_by_pool=hours,
                servers_for_rate={pool: 100 * one * 3600 / 1e6 / 16 for pool, one in hours.items()},
                energy_kwh=total * 6.5 / 1000,
                energy_source="watts of a core, as given",
                price=hours["target"] * 0.064 + (total - hours["target"]) * 0.021 + total * 6.5 / 1000 * 0.28,
                currency="EUR",
            )


def _verdicts() -> Iterator[Verdict]:
    speeds = list(_speed())
    for draft, by_kind in SHARES.items():
        own = [speed for speed in speeds if speed.draft == draft]
        is_good = draft == GOOD
        yield Verdict(
            draft,
            "use" if is_good else "do-not-use",
            RECOMMENDED if is_good else None,
            "pays" if is_good else "low-acceptance",
            tuple(_kind_verdict(kind, [one for one in own if one.kind == kind]) for kind in by_kind),
            is_adaptive_safe=True,
            tolerance=0.03,
            acceptance=sum(by_kind.values()) / len(by_kind),
            break_even_acceptance=0.37,
        )


def _kind_verdict(kind: str, speeds: list[Speed]) -> KindVerdict:
    known = [(speed, speed.speed_up) for speed in speeds if speed.speed_up is not None]
    best, speed_up = max(
        ((speed, one) for speed, one in known if speed.num_draft_tokens is not None),
        key=lambda pair: pair[1].value,
    )
    adaptive = next(one for speed, one in known if speed.variant == "adaptive")
    shared = next(one for speed, one in known if speed.num_draft_tokens == RECOMMENDED)
    return KindVerdict(
        kind,
        best.num_draft_tokens if speed_up.low > 1 else None,
        speed_up,
        adaptive,
        worst_speed_up=0.86 * shared.value,
        worst_gap_ratio=1.9 * _round_seconds(RECOMMENDED) / (1.7 * _TARGET_STEP),
    )
