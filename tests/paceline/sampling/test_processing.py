"""Bias, penalties and what may not come yet."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.processing import LogitsProcessor
from paceline.sampling.selector import selector_for
from paceline.sampling.token_counts import TokenCounts

ROW = np.array([1.0, -2.0, 3.0, 0.5, 0.0], np.float32)


def processed(parameters: SamplingParameters, context: list[int]) -> list[float]:
    return LogitsProcessor(parameters).process(ROW, len(context), context).tolist()


def test_a_bias_is_added() -> None:
    assert processed(SamplingParameters(logit_bias=((4, 2.5), (1, -1.0))), []) == [1, -3, 3, 0.5, 2.5]


def test_repetition_weakens_tokens_of_prompt_and_output_once() -> None:
    parameters = SamplingParameters(repetition_penalty=2.0, num_prompt_tokens=1)
    assert processed(parameters, [0, 1, 1, 1]) == [0.5, -4, 3, 0.5, 0]


def test_presence_and_frequency_look_at_the_output_alone() -> None:
    parameters = SamplingParameters(presence_penalty=1.0, frequency_penalty=0.5, num_prompt_tokens=2)
    assert processed(parameters, [2, 2, 0, 1, 0]) == [-1, -3.5, 3, 0.5, 0]
    assert processed(parameters, [2, 2]) == ROW.tolist()


def test_end_ids_wait_for_min_tokens() -> None:
    parameters = SamplingParameters(min_tokens=2, end_ids=(2, 0), num_prompt_tokens=3)
    assert processed(parameters, [1] * 4) == [-np.inf, -2, -np.inf, 0.5, 0]
    assert processed(parameters, [1] * 5) == ROW.tolist()


def test_bias_comes_before_the_penalties() -> None:
    parameters = SamplingParameters(logit_bias=((1, 3.0),), repetition_penalty=2.0)
    assert processed(parameters, [1])[1] == 0.5


def test_draft_tokens_count_for_the_rows_after_them() -> None:
    parameters = SamplingParameters(
        1.0, repetition_penalty=1.3, presence_penalty=0.7, frequency_penalty=0.4, num_prompt_tokens=3
    )
    rows = np.tile(ROW, (4, 1))
    known_ids = [2, 0, 4, 3, 3, 1]
    at_once = LogitsProcessor(parameters)
    for row, position in zip(rows, [3, 4, 5, 6], strict=True):
        alone = LogitsProcessor(parameters).process(row, position, known_ids[:position])
        assert at_once.process(row, position, known_ids).tolist() == alone.tolist()


def test_the_given_row_stays_as_it_is() -> None:
    before = ROW.copy()
    parameters = SamplingParameters(
        logit_bias=((0, 1.0),), repetition_penalty=2.0, min_tokens=9, end_ids=(1,), presence_penalty=1
    )
    processed(parameters, [0, 1, 2])
    assert ROW.tolist() == before.tolist()


def test_counts_grow_one_by_one_as_they_do_at_once() -> None:
    token_ids = np.random.default_rng(0).integers(0, 40, 200).tolist()
    at_once, one_by_one = TokenCounts(), TokenCounts()
    at_once.add(token_ids)
    for token_id in token_ids:
        one_by_one.add([token_id])
    assert one_by_one.ids.tolist() == at_once.ids.tolist() == sorted(set(token_ids))
    assert one_by_one.counts.tolist() == at_once.counts.tolist()


def allowing(*ids: int) -> npt.NDArray[np.bool_]:
    allowed = np.zeros(len(ROW), np.bool_)
    allowed[list(ids)] = True
    return allowed


class TestMask:
    def test_it_sees_the_context_of_its_row_and_decides_who_may_be_chosen(self) -> None:
        seen: list[tuple[int, list[int]]] = []

        def mask(position: int, context: Sequence[int]) -> npt.NDArray[np.bool_] | None:
            seen.append((position, list(context)))
            return allowing(1, 3) if position == 2 else None

        chosen = selector_for(SamplingParameters(), mask)(np.stack([ROW, ROW]), np.array([2, 3]), [4, 4, 3])
        assert chosen.tolist() == [3, 2]
        assert seen == [(2, [4, 4]), (3, [4, 4, 3])]

    @pytest.mark.parametrize("temperature", [0.0, 0.7, 100.0])
    def test_only_allowed_tokens_are_chosen(self, temperature: float) -> None:
        parameters = SamplingParameters(temperature, top_p=0.9)
        selector = selector_for(parameters, lambda _position, _context: allowing(1, 4))
        chosen = selector(np.tile(ROW, (200, 1)), np.arange(200), [0] * 200)
        assert set(chosen.tolist()) <= {1, 4}

    def test_where_it_allows_nothing_the_text_ends(self) -> None:
        selector = selector_for(SamplingParameters(end_ids=(1, 4)), lambda _position, _context: allowing())
        assert selector(ROW[None], np.array([0]), []).tolist() == [4]

    def test_an_ended_structure_goes_before_min_tokens(self) -> None:
        parameters = SamplingParameters(end_ids=(1,), min_tokens=5)
        selector = selector_for(parameters, lambda _position, _context: allowing(1))
        assert selector(ROW[None], np.array([0]), []).tolist() == [1]

    def test_without_end_ids_a_mask_that_allows_nothing_is_ignored(self) -> None:
        selector = selector_for(SamplingParameters(), lambda _position, _context: allowing())
        assert selector(ROW[None], np.array([0]), []).tolist() == [2]
