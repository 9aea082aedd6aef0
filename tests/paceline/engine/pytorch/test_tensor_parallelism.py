"""Two processes that hold half of a model each compute what one does with the whole."""

import json
import os
import subprocess
import sys
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
from tests.paceline.engine.pytorch import sliced_process  # noqa: E402
from tests.paceline.engine.pytorch.tiny_hub_models import tiny_hub_model  # noqa: E402

pytestmark = [pytest.mark.reference, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[4]
PREPARED = "prepared"
# Their plans gather queries, keys and values in every process.
GATHERED_FAMILIES = {"olmo2", "phi3"}
TOLERANCE = 1e-4  # sums of two halves are other sums


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models, beside each what two processes computed with it."""
    folder = tmp_path_factory.mktemp("models")
    for family in SUPPORTED_FAMILIES:
        # A vocabulary that two share evenly: the head is sliced too.
        tiny_hub_model(family, folder / family, vocab_size=212, max_shard_size="100KB")
    (folder / PREPARED).mkdir()
    write_prepared(folder / PREPARED, QWEN2, stored_weights(random_weights(QWEN2), "int8"), "int8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, sliced_process.__file__, *map(str, sorted(folder.iterdir()))],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", [*SUPPORTED_FAMILIES, PREPARED])
def test_two_halves_compute_what_the_whole_does(computed: Path, name: str) -> None:
    whole = load_torch_model(computed / name, LoadOptions(torch.device("cpu"), torch.float32, "f16"))
    num_heads, num_kv_heads, num_numbers = json.loads(
        (computed / name / sliced_process.SHARE_FILE).read_text()
    )
    assert (num_heads, num_kv_heads) == ((4, 2) if name in GATHERED_FAMILIES else (2, 1))
    assert num_numbers < sum(one.numel() for one in whole.model.parameters())
    whole.model.set_attn_implementation("eager")
    expected = reference_logits(whole.model, sliced_process.IDS)
    logits = np.load(computed / name / sliced_process.LOGITS_FILE)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=TOLERANCE)
