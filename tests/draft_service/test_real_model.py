"""Draft and target sessions on a real model: drafting ahead, rollbacks and releases leave no trace."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from draft_service.guess_budget import GuessBudget
from draft_service.requests import ProposalRequest
from draft_service.session import DraftSession
from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.work import Work
from paceline.models.prepare import prepare
from paceline.rounds import prefix_digest
from paceline.serving.errors import DrainingError
from paceline.serving.session_point import SessionPoint
from paceline.serving.session_table import RoundKey, SessionLimits, SessionTable
from tests.paceline.serving.rig import until

PROMPT = [504, 3575, 282, 4649, 314]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    directory = prepare("smollm2-135m-instruct", "int8")
    with Engine.load(EngineConfig(directory, kv_cache_bytes=64 << 20, num_threads=2)) as engine:
        yield engine


def continuation(engine: Engine, ids: list[int], num_ids: int) -> list[int]:
    """Greedy decoding in a sequence of its own."""
    sequence = engine.open_sequence()
    work = Work(sequence, 0, np.array(ids, np.int64), num_selected=1, num_drawn=num_ids)
    result = engine.submit(work).future.result()
    engine.close_sequence(sequence)
    return [*result.selected_ids.tolist(), *result.drawn_ids.tolist()][:num_ids]


def request_of(session_id: str, ids: list[int], position: int, num: int, ahead: int) -> ProposalRequest:
    point = SessionPoint(session_id, 1, position, prefix_digest(ids[:position]), tuple(ids[position:]))
    return ProposalRequest(point, num, ahead, num_awaited_tokens=num, max_ahead_guesses=3)


@pytest.mark.parametrize("num_ahead", [0, 4, 9])
async def test_drafting_ahead_changes_no_proposal_and_leaves_no_block(engine: Engine, num_ahead: int) -> None:
    """Two sessions at once; the target takes a different number of tokens each round, now and then its own."""
    budget = GuessBudget(4)
    table = SessionTable(
        lambda session_id, epoch, fork_of: DraftSession(session_id, engine, epoch, None, fork_of, budget),
        SessionLimits(8, 60),
    )
    num_ahead_tokens = 0

    async def generate(session_id: str) -> None:
        nonlocal num_ahead_tokens
        ids, position = [*PROMPT, len(session_id)], 0
        for round_ in range(10):
            num = round_ % 5
            request = request_of(session_id, ids, position, num, num_ahead)

            async def answer(session: DraftSession, request: ProposalRequest = request):
                proposal = (await session.propose(request, 0)).proposal
                asyncio.get_running_loop().call_soon(session.draft_ahead)
                return proposal

            proposal = await table.play(request.point, RoundKey(round_, request), answer)
            expected = await asyncio.to_thread(continuation, engine, ids, num + 1)
            assert list(proposal.draft_ids) == expected[:num]
            num_ahead_tokens += proposal.num_ahead_tokens
            num_accepted = num if round_ % 2 else round_ % (num + 1)
            own = 1000 + round_ if round_ % 4 == 0 else expected[num_accepted]
            position, ids = len(ids), [*ids, *expected[:num_accepted], own]

    await asyncio.gather(generate("a"), generate("bb"))
    assert (num_ahead_tokens > 0) == (num_ahead > 0)
    table.close(DrainingError("the end"))
    continuation(engine, [1], 1)  # the scheduler has taken the closing in before it
    await until(lambda: engine.usage().num_used_blocks == 0)  # its own closing may still be on its way
