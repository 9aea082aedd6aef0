"""Soft labels."""

import numpy as np
import pytest

from paceline.distillation.labels import LabelRecorder, top_labels
from paceline.engine.task import choose_greedily


def test_labels_are_the_likeliest_ids_with_their_probabilities() -> None:
    labels = top_labels(np.log([1, 6, 3], dtype=np.float32), 2)
    assert labels.token_ids.tolist() == [1, 2]
    assert np.exp(labels.logprobs.astype(float)) == pytest.approx([0.6, 0.3], abs=1e-3)


def test_a_recorder_chooses_as_another_does_and_keeps_every_row() -> None:
    logits = np.random.default_rng(0).standard_normal((5, 300)).astype(np.float32)
    recorder = LabelRecorder(lambda rows, *_: choose_greedily(rows), 3)
    chosen = np.concatenate(
        [recorder(logits[:2], np.array([4, 5]), []), recorder(logits[2:], np.arange(3), [])]
    )
    assert chosen.tolist() == logits.argmax(axis=1).tolist()
    assert [one.token_ids[0] for one in recorder.labels] == chosen.tolist()
