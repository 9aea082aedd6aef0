"""What a cell's trials come to."""

from dataclasses import replace

from benchmarks.comparison.cell import Cell
from benchmarks.comparison.system import GENAI_TARGET, OURS_ADAPTIVE, OURS_TARGET, System
from benchmarks.comparison.trial import Trial
from tests.benchmarks.comparison.rig import OURS_K5, measured, outcome

CELL = Cell("draft=0,target=1", "code", 1, (OURS_TARGET, OURS_K5))


def test_a_ratio_is_taken_within_repeats_before_its_median() -> None:
    one = measured(CELL, ours_target=(4.0, 8.0, 1.0), ours_k5=(2.0, 2.0, 1.0))
    ratio = one.ratio(OURS_K5, OURS_TARGET)
    assert ratio is not None
    assert (ratio.low, ratio.median, ratio.high, ratio.count) == (1.0, 2.0, 4.0, 3)


def test_a_repeat_that_only_one_of_them_finished_does_not_count() -> None:
    one = measured(CELL, ours_target=(4.0,), ours_k5=(2.0, 100.0))
    ratio = one.ratio(OURS_K5, OURS_TARGET)
    assert ratio is not None
    assert (ratio.median, ratio.count) == (2.0, 1)


def test_there_is_no_ratio_to_what_was_not_measured() -> None:
    assert measured(CELL, ours_target=(4.0,)).ratio(OURS_TARGET, GENAI_TARGET) is None


def test_the_best_number_of_draft_tokens_is_that_of_the_highest_median() -> None:
    one = measured(CELL, genai_target=(1.0,), genai_k3=(2.0, 2.0, 2.0), genai_k5=(1.0, 3.0, 3.0))
    assert one.best_speculative("genai") == System("genai", "fixed", 3)
    assert one.best_speculative("ours") is None


def test_cpu_seconds_are_divided_by_the_tokens() -> None:
    summary = measured(CELL, ours_target=(4.0, 4.0)).summary(OURS_TARGET)
    assert summary.cpu_seconds_per_token == 0.5
    assert summary.num_answers == 2


def test_acceptance_is_over_all_trials() -> None:
    one = measured(CELL, ours_k5=(1.0, 1.0))
    trials = tuple(
        replace(trial, outcome=outcome(1.0, num_drafted=4, num_accepted=accepted))
        for trial, accepted in zip(one.measured.trials, (1, 3), strict=True)
    )
    assert replace(one, measured=replace(one.measured, trials=trials)).summary(OURS_K5).acceptance == 0.5


def test_other_ids_of_ours_are_noticed_and_those_of_peers_only_counted() -> None:
    one = measured(CELL, ours_target=(1.0,), ours_adaptive=(1.0,), genai_target=(1.0,), genai_k5=(1.0,))
    other: dict[str, tuple[int, ...]] = {"ours-adaptive": (1, 2, 3, 9), "genai-k5": (1, 9, 3, 4)}

    def changed(trial: Trial) -> Trial:
        ids = other.get(trial.system)
        return trial if ids is None else replace(trial, outcome=outcome(1.0, ids))

    trials = tuple(changed(trial) for trial in one.measured.trials)
    changed_one = replace(one, measured=replace(one.measured, trials=trials))
    assert changed_one.differing == (OURS_ADAPTIVE,)
    assert changed_one.summary(System("genai", "fixed", 5)).num_identical == 0
    assert one.differing == ()
