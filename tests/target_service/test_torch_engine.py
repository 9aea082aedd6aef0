"""A cluster whose target computes with PyTorch, beside a draft on OpenVINO: real processes, the same text."""

from pathlib import Path

import pytest

from paceline.cli.benchmark.trial import TARGET_ONLY, Variant, bench_request
from paceline.client.orchestrator import connect
from tests.end_to_end.cluster_process import running_cluster
from tests.end_to_end.test_exactness import prompts_of_each_kind

pytestmark = pytest.mark.reference


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("num_slices", "device"), [(1, "cpu"), pytest.param(3, "cpu x 3", marks=pytest.mark.slow)]
)
async def test_a_target_on_torch_writes_the_same_text_with_and_without_drafts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_slices: int, device: str
) -> None:
    if num_slices > 1:
        pytest.importorskip("accelerate", reason="accelerate is not installed (the extra `accelerator`)")
    monkeypatch.setenv("PACELINE_TARGET_ENGINE", "torch")
    monkeypatch.setenv("PACELINE_TARGET_DEVICE", "cpu")
    monkeypatch.setenv("PACELINE_TARGET_TENSOR_PARALLEL", str(num_slices))
    prompts = prompts_of_each_kind(3)
    with running_cluster(tmp_path, "--pair", "tiny") as cluster:
        async with connect(cluster.address) as orchestrator:
            served = await orchestrator.served_models()
            alone = [await orchestrator.complete(bench_request(one, TARGET_ONLY, 16)) for one in prompts]
            drafted = [await orchestrator.complete(bench_request(one, Variant(4), 16)) for one in prompts]
    assert [one.token_ids for one in drafted] == [one.token_ids for one in alone]
    assert served.target.device == device
    assert served.target.is_batch_invariant
    assert sum(one.summary.speculation.num_accepted_tokens for one in drafted) > 0
    assert served.target.name == "smollm2-135m-instruct"
