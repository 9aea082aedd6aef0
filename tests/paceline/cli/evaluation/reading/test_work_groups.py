"""Many texts through one engine."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from paceline.cli.evaluation.reading.work_groups import TextWork, fitting_groups, run_texts
from paceline.engine.engine import Engine, EngineConfig

# 13 blocks of the random models' KV, the least that an engine takes; 12 of them, of 32 tokens, are for sequences.
KV_CACHE_BYTES = 13 * 32 * 2 * 16 * 4


def test_the_worked_example() -> None:
    assert fitting_groups([30, 40, 10], 96, 32) == [[0, 1], [2]]


@given(st.lists(st.integers(1, 200), max_size=20), st.integers(1, 10))
def test_each_text_is_in_one_group_and_groups_fit(lengths: list[int], num_blocks: int) -> None:
    groups = fitting_groups(lengths, 32 * num_blocks, 32)
    assert [index for group in groups for index in group] == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or sum(-(-lengths[index] // 32) for index in group) <= num_blocks


def test_more_texts_than_the_cache_holds_are_written_as_each_would_be_alone(
    random_models: dict[str, Path],
) -> None:
    prompts = [[10 + number, 20, 30] for number in range(15)]  # of which 6 fit at once
    reports: list[tuple[int, int]] = []
    with Engine.load(EngineConfig(random_models["target"], KV_CACHE_BYTES, num_threads=1)) as engine:
        assert engine.info.kv_capacity_tokens == 12 * 32
        works = [TextWork(ids, num_selected=1, num_drawn=40) for ids in prompts]
        together = run_texts(engine, works, lambda done, total: reports.append((done, total)))
        alone = [run_texts(engine, [work], lambda _done, _total: None)[0] for work in works]
    assert [one.drawn_ids.tolist() for one in together] == [one.drawn_ids.tolist() for one in alone]
    assert reports[-1] == (15 * 41, 15 * 41)
    assert all(done <= total for done, total in reports)
