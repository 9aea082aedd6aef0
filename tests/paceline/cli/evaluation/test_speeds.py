"""Speed of each way of generating."""

from dataclasses import replace

import pytest

from paceline.cli.benchmark.trial import ADAPTIVE, TARGET_ONLY, Variant
from paceline.cli.evaluation.findings import Speed
from paceline.cli.evaluation.speeds import speeds_of
from tests.paceline.cli.evaluation.made_trials import alone, drafted, foreseen, trial, trials_of

CODE, PROSE = ("code", "a"), ("prose", "b")
TEXTS = {CODE: foreseen("TTTTTFTTTTTTTTTT"), PROSE: foreseen("TFFTFTFFTFTTFFFT")}


def by_variant(speeds: list[Speed], kind: str = "code") -> dict[str, Speed]:
    return {speed.variant: speed for speed in speeds if speed.kind == kind}


def test_every_kind_and_variant_has_a_speed() -> None:
    speeds = speeds_of(trials_of(TEXTS, [2, 4]))
    for kind in ("code", "prose"):
        assert list(by_variant(speeds, kind)) == ["target-only", "K = 2", "K = 4", "adaptive"]
    assert [speed.num_draft_tokens for speed in by_variant(speeds).values()] == [None, 2, 4, None]


def test_a_speed_up_is_free_of_what_slows_the_whole_machine() -> None:
    found = by_variant(speeds_of(trials_of(TEXTS, [4], slownesses=(1.0, 3.0, 0.5))))["K = 4"]
    assert found.speed_up is not None
    assert found.speed_up.low == pytest.approx(found.speed_up.high)
    assert found.tokens_per_second.low < found.tokens_per_second.high


def test_the_target_alone_is_compared_with_nothing() -> None:
    found = by_variant(speeds_of(trials_of(TEXTS, [2])))["target-only"]
    assert (found.draft, found.speed_up, found.acceptance, found.tokens_per_round) == ("", None, None, None)


def test_other_ids_are_noticed() -> None:
    trials = trials_of(TEXTS, [2])
    wrong = drafted(CODE, TEXTS[CODE], 2)
    wrong = replace(wrong, token_ids=(*wrong.token_ids[:-1], 999))
    speeds = speeds_of([*trials, trial(Variant(2), wrong, repeat=7)])
    assert not by_variant(speeds)["K = 2"].is_identical
    assert by_variant(speeds)["adaptive"].is_identical
    assert by_variant(speeds, "prose")["K = 2"].is_identical


def test_prompts_that_are_answered_with_one_token_have_no_speed() -> None:
    trials = [trial(variant, alone(CODE, 1)) for variant in (TARGET_ONLY, Variant(2))]
    assert speeds_of(trials) == []
    assert {speed.kind for speed in speeds_of([*trials, *trials_of({PROSE: TEXTS[PROSE]}, [2])])} == {"prose"}


def test_numbers_of_sessions_are_told_apart() -> None:
    several = [alone(CODE, 5), alone(PROSE, 5)]
    speeds = speeds_of(
        [trial(TARGET_ONLY, *several), trial(ADAPTIVE, *several), trial(TARGET_ONLY, several[0])]
    )
    assert [(speed.kind, speed.num_sessions, speed.variant) for speed in speeds] == [
        ("code", 1, "target-only"),
        ("all", 2, "target-only"),
        ("all", 2, "adaptive"),
    ]


def test_kinds_are_together_where_they_are_mixed() -> None:
    speeds = speeds_of(trials_of(TEXTS, [2]), are_mixed=True)
    assert {(speed.kind, speed.num_sessions) for speed in speeds} == {("all", 1)}
    assert all(speed.tokens_per_second.count == 6 for speed in speeds)


def test_latency_is_what_a_reader_waits_for() -> None:
    latency = by_variant(speeds_of(trials_of(TEXTS, [2], slownesses=(1.0,))))["target-only"].latency
    assert (latency.gap_mean, latency.gap_p50, latency.gap_p99) == pytest.approx((0.1, 0.1, 0.1))
    assert latency.gap_worst == pytest.approx(0.1)
    assert latency.request_worst == pytest.approx(0.5 + 15 * 0.1)
    assert latency.first_token_p50 == latency.first_token_worst == pytest.approx(0.5)


def test_cpu_seconds_and_memory_are_by_pool() -> None:
    answer = alone(CODE, 10)
    trials = [
        trial(TARGET_ONLY, answer, cpu_seconds={"draft": 0.0, "target": 2.0}),
        trial(TARGET_ONLY, answer, repeat=1, cpu_seconds={"draft": 1.0, "target": 4.0}),
    ]
    [found] = speeds_of(trials)
    assert found.cpu_seconds_per_token == {"draft": 0.05, "target": 0.3}
    assert found.memory_bytes == {"draft": 1 << 20, "target": 1 << 30}


def test_what_cannot_be_read_is_empty() -> None:
    [found] = speeds_of([trial(TARGET_ONLY, alone(CODE, 10))])
    assert found.cpu_seconds_per_token == {}
