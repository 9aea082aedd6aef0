"""Which places' logits are kept."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paceline.cli.evaluation.reading.kept_logits import KeepingSelector, KeptLogits, KeptPlaces
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.selector import selector_for


def test_the_worked_example() -> None:
    places = KeptPlaces(num_texts=2, max_tokens=10, max_places=5)
    assert places.rows_of(0) == {0: 0, 4: 1, 8: 2}
    assert places.rows_of(1) == {2: 3, 6: 4}


@given(st.integers(1, 20), st.integers(1, 50), st.integers(1, 100))
def test_each_row_is_one_place_and_there_are_no_more_than_wanted(
    num_texts: int, max_tokens: int, max_places: int
) -> None:
    places = KeptPlaces(num_texts, max_tokens, max_places)
    kept = [(text, place, row) for text in range(num_texts) for place, row in places.rows_of(text).items()]
    assert sorted(row for _, _, row in kept) == list(range(places.num_rows))
    assert 1 <= places.num_rows <= max_places
    assert all(0 <= place < max_tokens for _, place, _ in kept)
    if num_texts * max_tokens <= max_places:
        assert places.num_rows == num_texts * max_tokens


def test_what_one_process_keeps_another_reads(tmp_path: Path) -> None:
    kept = KeptLogits(tmp_path / "logits", KeptPlaces(1, 3, 3))
    written = kept.create(vocabulary_size=5)
    logits = np.arange(20, dtype=np.float32).reshape(4, 5)
    selector = KeepingSelector(selector_for(SamplingParameters()), {7: written[0], 9: written[2]})
    chosen = selector(logits, np.array([6, 7, 8, 9]), ())
    assert chosen.tolist() == [4, 4, 4, 4]
    del written, selector
    read = kept.open()
    assert read.tolist() == [logits[1].tolist(), [0.0] * 5, logits[3].tolist()]
    with pytest.raises(ValueError, match="read-only"):
        read[0] = 1
