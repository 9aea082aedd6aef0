"""What is said of a draft, for every outcome."""

import pytest

from paceline.cli.evaluation.findings import Estimate
from paceline.cli.evaluation.verdict import Contender, best_num_draft_tokens, verdict_of

BREAK_EVEN = {"2": 0.4, "4": 0.6}


def estimate(value: float, noise: float = 0.05) -> Estimate:
    return Estimate(value, value - noise, value + noise, 3)


def contender(kind: str, number: int | None, value: float, noise: float = 0.05) -> Contender:
    return Contender(kind, number, estimate(value, noise), value - 2 * noise, 1 / value)


def contenders(**speed_ups: tuple[float, float, float]) -> list[Contender]:
    """K = 2, K = 4 and adaptive mode of each kind."""
    return [
        contender(kind, number, value)
        for kind, values in speed_ups.items()
        for number, value in zip((2, 4, None), values, strict=True)
    ]


def test_a_draft_that_pays_everywhere_is_to_be_used() -> None:
    found = verdict_of("small", contenders(code=(1.5, 2.0, 1.9), prose=(1.3, 1.2, 1.25)), 0.7, BREAK_EVEN)
    assert found is not None
    assert (found.answer, found.reason, found.num_draft_tokens) == ("use", "pays", 4)
    assert [(kind.kind, kind.num_draft_tokens, kind.speed_up.value) for kind in found.kinds] == [
        ("code", 4, 2.0),
        ("prose", 2, 1.3),
    ]
    # The worst is of the K that is recommended, on each kind.
    assert [kind.worst_speed_up for kind in found.kinds] == pytest.approx([1.9, 1.1])
    assert [kind.worst_gap_ratio for kind in found.kinds] == pytest.approx([0.5, 1 / 1.2])
    assert (found.acceptance, found.break_even_acceptance) == (0.7, 0.6)
    assert found.is_adaptive_safe


def test_a_draft_that_pays_on_some_kinds_is_for_these() -> None:
    found = verdict_of("small", contenders(code=(1.5, 2.0, 1.9), prose=(0.9, 0.7, 1.0)), 0.6, BREAK_EVEN)
    assert found is not None
    assert (found.answer, found.reason) == ("use-for-some", "pays-for-some")
    assert [kind.num_draft_tokens for kind in found.kinds] == [4, None]
    assert found.kinds[1].speed_up.value == 0.9


def test_what_noise_could_explain_does_not_pay() -> None:
    found = verdict_of("small", contenders(code=(1.04, 1.0, 1.0), prose=(1.03, 1.0, 1.0)), 0.6, BREAK_EVEN)
    assert found is not None
    assert (found.answer, found.reason, found.num_draft_tokens) == ("do-not-use", "within-noise", None)


def test_a_draft_that_is_seldom_right_is_told_so() -> None:
    found = verdict_of("bad", contenders(code=(0.7, 0.5, 1.0), prose=(0.8, 0.5, 1.0)), 0.1, BREAK_EVEN)
    assert found is not None
    assert (found.answer, found.reason, found.num_draft_tokens) == ("do-not-use", "low-acceptance", None)
    assert found.break_even_acceptance == 0.4
    assert all(kind.num_draft_tokens is None for kind in found.kinds)


@pytest.mark.parametrize("break_even", [{"2": None, "4": None}, {"2": 0.5, "4": 0.6}, {}])
def test_a_draft_that_is_often_right_and_still_does_not_pay_is_slow(
    break_even: dict[str, float | None],
) -> None:
    found = verdict_of("slow", contenders(code=(0.7, 0.5, 1.0), prose=(0.8, 0.5, 1.0)), 0.9, break_even)
    assert found is not None
    assert (found.answer, found.reason) == ("do-not-use", "slow-draft")


def test_adaptive_mode_is_safe_where_it_may_be_as_fast_as_the_target_alone() -> None:
    for value, noise, is_safe in [
        (0.98, 0.0, True),
        (0.96, 0.0, False),
        (0.96, 0.02, True),
        (0.9, 0.02, False),
    ]:
        found = verdict_of(
            "small", [contender("code", 2, 1.5), contender("code", None, value, noise)], 0.7, BREAK_EVEN
        )
        assert found is not None
        assert found.is_adaptive_safe is is_safe, value


def test_adaptive_mode_is_to_be_safe_under_load_too_and_to_be_measured() -> None:
    found = verdict_of("small", contenders(code=(1.5, 2.0, 1.9)), 0.7, BREAK_EVEN, [estimate(0.8)])
    assert found is not None
    assert not found.is_adaptive_safe
    found = verdict_of("small", [contender("code", 2, 1.5)], 0.7, BREAK_EVEN)
    assert found is not None
    assert not found.is_adaptive_safe


def test_the_number_for_all_kinds_has_the_best_geometric_mean() -> None:
    # Means of 1.75 and 1.7, geometric ones of 1.66 and 1.69.
    found = [
        *(contender("code", number, value) for number, value in ((2, 2.3), (4, 1.8))),
        *(contender("prose", number, value) for number, value in ((2, 1.2), (4, 1.6))),
    ]
    assert best_num_draft_tokens(found) == 4


def test_nothing_measured_has_no_verdict() -> None:
    assert verdict_of("small", [], 0.5, {}) is None
    assert verdict_of("small", [contender("code", None, 1.5)], 0.5, {}) is None
