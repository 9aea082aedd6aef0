"""What a prepared directory holds."""

from pathlib import Path

import pytest

from paceline.engine.graph.manifest import WEIGHTS_FILE
from paceline.engine.graph.weights import FAST_HEAD, open_weights
from paceline.models.prepare import prepare


@pytest.mark.parametrize(("weights", "has_fast_head"), [("int4", True), ("int8", False)])
def test_int4_weights_hold_a_fast_head_beside_the_exact_one(
    smollm2_path: Path, tmp_path: Path, weights: str, has_fast_head: bool
) -> None:
    stored = open_weights(prepare(smollm2_path, weights, cache_dir=tmp_path) / WEIGHTS_FILE)
    num_rows, hidden_size = stored["token_embd.q"].shape
    assert (f"{FAST_HEAD}.q" in stored) == has_fast_head
    if has_fast_head:
        _, num_groups, half_group = stored[f"{FAST_HEAD}.q"].shape
        assert stored[f"{FAST_HEAD}.q"].shape[0] == num_rows
        assert num_groups * half_group * 2 == hidden_size
