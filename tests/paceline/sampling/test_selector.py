"""Ids, and log-probabilities, of the rows of one work."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.selector import selector_for
from tests.paceline.sampling.rows import rows_of
from tests.paceline.sampling.test_parameters import valid_parameters

VOCABULARY_SIZE = 1000


@settings(max_examples=100, deadline=None)
@given(valid_parameters, st.integers(1, 5), st.data())
def test_rows_at_once_choose_what_they_choose_one_by_one(
    parameters: SamplingParameters, num_rows: int, data: st.DataObject
) -> None:
    rows = rows_of("model", num_rows, VOCABULARY_SIZE, data.draw(st.integers(0, 99)))
    known_ids = data.draw(st.lists(st.integers(0, VOCABULARY_SIZE - 1), min_size=num_rows, max_size=20))
    positions = np.arange(num_rows) + len(known_ids) - num_rows + 1
    at_once = selector_for(parameters)
    chosen = at_once(rows, positions, known_ids)

    growing = selector_for(parameters)
    drawn = [
        growing(row[None], np.array([position]), known_ids[:position]).item()
        for row, position in zip(rows, positions.tolist(), strict=True)
    ]
    assert drawn == chosen.tolist()
    assert growing.logprobs == at_once.logprobs

    fresh = [
        selector_for(parameters)(row[None], np.array([position]), known_ids).item()
        for row, position in zip(rows, positions.tolist(), strict=True)
    ]
    assert fresh == chosen.tolist()


def test_another_seed_or_position_chooses_otherwise() -> None:
    rows = np.tile(rows_of("flat", 1, VOCABULARY_SIZE), (50, 1))
    positions = np.arange(50)
    chosen = selector_for(SamplingParameters(1.0, seed=1))(rows, positions, [0] * 50)
    assert len(set(chosen.tolist())) > 40
    others = selector_for(SamplingParameters(1.0, seed=2))(rows, positions, [0] * 50)
    assert (chosen == others).mean() < 0.1


@pytest.mark.parametrize("processing", [{}, {"logit_bias": ((5, 0.0),)}])
def test_greedy_takes_the_lowest_id_of_equals(processing: dict[str, object]) -> None:
    rows = np.zeros((2, 50), np.float32)
    rows[0, [7, 9]] = 2.0
    parameters = replace(SamplingParameters(seed=3), **processing)
    assert selector_for(parameters)(rows, np.array([4, 5]), [0] * 5).tolist() == [7, 0]


def test_a_vanishing_temperature_is_greedy_but_for_ties() -> None:
    rows = rows_of("model", 20, VOCABULARY_SIZE)
    selector = selector_for(SamplingParameters(5e-324))
    assert selector(rows, np.arange(20), [0] * 20).tolist() == rows.argmax(axis=1).tolist()


class TestLogprobs:
    ROW = np.log(np.array([0.2, 0.4, 0.1, 0.1, 0.2])).astype(np.float32) + np.float32(3)

    def test_they_are_the_models_own_before_any_processing(self) -> None:
        parameters = SamplingParameters(
            0.5, top_k=1, logit_bias=((2, 9.0),), num_logprobs=3, presence_penalty=1.0
        )
        selector = selector_for(parameters)
        selector(self.ROW[None], np.array([1]), [1])
        [found] = selector.logprobs
        assert (found.token_id, found.top_ids) == (2, (1, 0, 4))
        assert np.allclose(np.exp([found.logprob, *found.top_logprobs]), [0.1, 0.4, 0.2, 0.2], atol=1e-6)

    def test_zero_alternatives_is_the_chosen_one_alone(self) -> None:
        selector = selector_for(SamplingParameters(num_logprobs=0))
        selector(np.stack([self.ROW, self.ROW]), np.array([0, 1]), [0])
        assert [(one.token_id, one.top_ids, one.top_logprobs) for one in selector.logprobs] == [
            (1, (), ())
        ] * 2

    def test_none_are_collected_where_none_are_wanted(self) -> None:
        selector = selector_for(SamplingParameters())
        selector(self.ROW[None], np.array([0]), [])
        assert selector.logprobs == []
