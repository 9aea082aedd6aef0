"""The next turn of a long chat computes its own tokens only: where its cache is, and after that replica's death."""

import os
import signal
from collections.abc import Iterator

import pytest

from paceline.client.completion import Completion
from paceline.client.generation import (
    Chat,
    Continuation,
    ContinuationMode,
    GenerationRequest,
    Speculation,
    SpeculationMode,
)
from paceline.client.orchestrator import Orchestrator, connect
from paceline.client.sessions import connect_to_sessions
from paceline.models.chat_message import ChatMessage
from tests.end_to_end.cluster_process import RunningCluster, running_cluster, wait_until_gone

NUM_HISTORY_TOKENS = 2000
# What a chat template puts between two turns, and the question itself.
MAX_TURN_TOKENS = 40
QUESTIONS = ("What was the first number?", "And the last one?", "Thank you.")


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    with running_cluster(
        tmp_path_factory.mktemp("up"), "--pair", "tiny", "--target-replicas", "2"
    ) as cluster:
        yield cluster


async def answer(
    orchestrator: Orchestrator, turns: list[ChatMessage], rollback_token: str | None
) -> Completion:
    continuation = Continuation(rollback_token, ContinuationMode.REWIND) if rollback_token else None
    return await orchestrator.complete(
        GenerationRequest(
            Chat(tuple(turns)),
            max_tokens=12,
            speculation=Speculation(SpeculationMode.FIXED, 3),
            continuation=continuation,
        )
    )


async def test_the_next_turn_computes_only_what_is_new(cluster: RunningCluster) -> None:
    numbers = " ".join(str(number) for number in range(100, 100 + NUM_HISTORY_TOKENS // 4))
    turns = [ChatMessage("user", f"Remember: {numbers}")]
    async with (
        connect(cluster.address) as orchestrator,
        connect_to_sessions(cluster.address) as sessions,
    ):
        first = await answer(orchestrator, turns, None)
        assert first.summary.usage.num_prompt_tokens >= NUM_HISTORY_TOKENS
        turns += [ChatMessage("assistant", first.text), ChatMessage("user", QUESTIONS[0])]

        second = await answer(orchestrator, turns, first.summary.rollback_token)
        num_new = second.summary.usage.num_prompt_tokens - second.summary.usage.num_cached_prompt_tokens
        assert second.started.session_id == first.started.session_id
        assert 0 < num_new <= MAX_TURN_TOKENS
        turns += [ChatMessage("assistant", second.text), ChatMessage("user", QUESTIONS[1])]

        session = await sessions.get(second.started.session_id)
        kill(cluster, session.target)
        third = await answer(orchestrator, turns, second.summary.rollback_token)
        usage = third.summary.usage
        assert usage.num_prompt_tokens - usage.num_cached_prompt_tokens > NUM_HISTORY_TOKENS
        assert (await sessions.get(third.started.session_id)).target != session.target

        anew = await answer(orchestrator, turns, None)
        assert (anew.token_ids, anew.text) == (third.token_ids, third.text)
        turns += [ChatMessage("assistant", third.text), ChatMessage("user", QUESTIONS[2])]
        fourth = await answer(orchestrator, turns, third.summary.rollback_token)
        usage = fourth.summary.usage
        assert usage.num_prompt_tokens - usage.num_cached_prompt_tokens <= MAX_TURN_TOKENS


def kill(cluster: RunningCluster, replica_id: str) -> None:
    pid = cluster.pids[replica_id]
    os.kill(pid, signal.SIGKILL)
    wait_until_gone([pid])
