"""Processes that hold a slice of a model each compute what one does with the whole."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from tests.paceline.engine.reference import reference_logits
from tests.paceline.engine.tiny_models import QWEN2, random_weights, stored_weights, write_prepared

torch = pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")
pytest.importorskip("transformers", reason="transformers is not installed (`make setup` installs it)")
pytest.importorskip("accelerate", reason="accelerate is not installed (the extra `accelerator`)")

from paceline.engine.pytorch.families import SUPPORTED_FAMILIES  # noqa: E402
from paceline.engine.pytorch.loading import LoadOptions, load_torch_model  # noqa: E402
from paceline.engine.pytorch.rank import open_meeting_place  # noqa: E402
from tests.paceline.engine.pytorch import sliced_process  # noqa: E402
from tests.paceline.engine.pytorch.tiny_hub_models import tiny_hub_model  # noqa: E402

pytestmark = [pytest.mark.reference, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[4]
PREPARED = "prepared"
# Their plans gather queries, keys and values in every process.
GATHERED_FAMILIES = {"olmo2", "phi3"}
NUM_HEADS = 4
TOLERANCE = 1e-4  # sums of slices are other sums


@dataclass(frozen=True)
class Computed:
    """A folder of models, beside each what so many processes computed with it."""

    folder: Path
    num_slices: int
    num_kv_heads: int


@pytest.fixture(scope="module", params=[2, 4], ids="{} slices".format)
def computed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Computed:
    """Two slices are added up by an all-reduce, four in order."""
    num_slices: int = request.param
    num_kv_heads = num_slices
    folder = tmp_path_factory.mktemp("models")
    for family in SUPPORTED_FAMILIES:
        # A vocabulary that all share evenly: the head is sliced too.
        tiny_hub_model(
            family,
            folder / family,
            vocab_size=212,
            num_key_value_heads=num_kv_heads,
            max_shard_size="100KB",
        )
    (folder / PREPARED).mkdir()
    shape = replace(QWEN2, num_kv_heads=num_kv_heads)
    write_prepared(folder / PREPARED, shape, stored_weights(random_weights(shape), "int8"), "int8")
    meeting_place = open_meeting_place(num_slices)
    command = [sys.executable, sliced_process.__file__]
    models = [str(model) for model in sorted(folder.iterdir())]
    processes = [
        subprocess.Popen(
            [*command, str(number), str(num_slices), str(meeting_place.port), *models],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(num_slices)
    ]
    errors = [process.communicate(timeout=150)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * num_slices, "\n".join(errors)[-3000:]
    return Computed(folder, num_slices, num_kv_heads)


@pytest.mark.parametrize("name", [*SUPPORTED_FAMILIES, PREPARED])
def test_slices_compute_what_the_whole_does(computed: Computed, name: str) -> None:
    directory = computed.folder / name
    whole = load_torch_model(directory, LoadOptions(torch.device("cpu"), torch.float32, "f16"))
    num_heads, num_kv_heads, num_numbers = json.loads((directory / sliced_process.SHARE_FILE).read_text())
    by = 1 if name in GATHERED_FAMILIES else computed.num_slices
    assert (num_heads, num_kv_heads) == (NUM_HEADS // by, computed.num_kv_heads // by)
    assert num_numbers < sum(one.numel() for one in whole.model.parameters())
    whole.model.set_attn_implementation("eager")
    expected = reference_logits(whole.model, sliced_process.IDS)
    logits = np.load(directory / sliced_process.LOGITS_FILE)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)
