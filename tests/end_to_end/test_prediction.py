"""A real target writes the same tokens whatever is predicted, greedily and by a seed."""

from dataclasses import replace

import pytest

from paceline.client.generation import (
    Chat,
    Drafter,
    GenerationRequest,
    Sampling,
    Speculation,
    SpeculationMode,
)
from paceline.client.orchestrator import connect
from paceline.models.chat_message import ChatMessage
from tests.end_to_end.cluster_process import RunningCluster

REQUEST = GenerationRequest(
    Chat((ChatMessage("user", "Count from one to twenty in words."),)),
    max_tokens=32,
    speculation=Speculation(SpeculationMode.FIXED, 4, Drafter.PROMPT_LOOKUP),
    ignore_eos=True,
)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1.0, seed=5)], ids=["greedy", "seeded"])
async def test_a_prediction_changes_no_token_and_saves_rounds_where_it_is_right(
    tiny_cluster: RunningCluster, sampling: Sampling
) -> None:
    request = replace(REQUEST, sampling=sampling)
    async with connect(tiny_cluster.address) as orchestrator:
        plain = await orchestrator.complete(request)
        right = await orchestrator.complete(replace(request, prediction=plain.text))
        wrong = await orchestrator.complete(replace(request, prediction=plain.text[::-1]))
        by_model = replace(request, speculation=Speculation(SpeculationMode.ADAPTIVE))
        beside_a_draft = await orchestrator.complete(replace(by_model, prediction=plain.text))
    assert right.token_ids == wrong.token_ids == beside_a_draft.token_ids == plain.token_ids
    assert right.summary.speculation.num_accepted_prediction_tokens > 0
    assert right.summary.speculation.num_rounds < plain.summary.speculation.num_rounds
