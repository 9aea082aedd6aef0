"""DraftService on the real scheduler and cache: forks, late messages, and prompts that are asked for anew."""

import asyncio
from typing import Any

from draft_service.program import draft_service
from draft_service.session import DraftSession
from paceline.engine.engine import Engine
from paceline.v1 import draft_service_pb2 as messages
from tests.draft_service.propose_stream import ProposeStream
from tests.paceline.engine.hash_runner import Gate, HashRunner, continuation, hash_engine
from tests.paceline.serving.rig import model_service, point, until

PROMPT = list(range(10))
LONG_PROMPT = [number % 97 for number in range(120)]


def service(engine: Engine, **options: Any):
    return model_service(draft_service, DraftSession, engine, **options)


class Proposer(ProposeStream):
    async def send(
        self,
        ids: list[int],
        session_id: str = "a",
        num: int = 3,
        ahead: int = 0,
        round_: int = 0,
        **fields: Any,
    ) -> None:
        start = point(session_id, fields.pop("position", 0), ids, **fields)
        await self.write(
            messages.ProposalRequest(point=start, round=round_, num_draft_tokens=num, max_ahead_tokens=ahead)
        )

    async def propose(self, ids: list[int], session_id: str = "a", **fields: Any) -> messages.ProposalResult:
        await self.send(ids, session_id, **fields)
        return await self.receive()


async def test_a_fork_drafts_from_what_its_source_holds() -> None:
    ids = [*PROMPT[:9], 50]
    async with service(hash_engine()) as rig:
        proposer = Proposer(rig)
        await proposer.propose(PROMPT, num=2, ahead=4)
        forked = await proposer.propose(ids, "b", fork_of="a", ahead=4)
        assert list(forked.proposal.draft_ids) == continuation(ids, 3)
        assert forked.proposal.timing.num_cached_tokens == 9
        going_on = [*PROMPT, *continuation(PROMPT, 1)]
        again = await proposer.propose(going_on, position=10, round_=1)
        assert list(again.proposal.draft_ids) == continuation(going_on, 3)


async def test_a_fork_whose_first_round_fails_is_forgotten_and_can_be_tried_again() -> None:
    async with service(hash_engine(max_context_tokens=40)) as rig:
        proposer = Proposer(rig)
        await proposer.propose(PROMPT)
        refused = await proposer.propose([1] * 41, "b", fork_of="a")
        assert refused.error.reason == "CONTEXT_TOO_LONG"
        assert rig.host.sessions.find("b") is None
        good = await proposer.propose([*PROMPT, 1], "b", fork_of="a")
        assert list(good.proposal.draft_ids) == continuation([*PROMPT, 1], 3)


async def test_a_late_request_does_not_touch_what_was_drafted_since() -> None:
    longer = [*PROMPT, *continuation(PROMPT, 2)]
    async with service(hash_engine()) as rig:
        proposer = Proposer(rig)
        await proposer.propose(PROMPT, round_=1)
        await proposer.propose(longer, position=10, round_=2)
        late = await proposer.propose([*PROMPT, 77], position=10, round_=1)
        assert late.error.reason == "SUPERSEDED"
        assert dict(late.error.metadata) == {"session_id": "a", "round": "1", "known_round": "2"}
        next_one = await proposer.propose([*longer, 5], position=12, round_=3)
        assert list(next_one.proposal.draft_ids) == continuation([*longer, 5], 3)


async def test_a_newer_request_ends_a_long_prompt_and_goes_on_with_what_was_computed() -> None:
    gate, runner = Gate(), HashRunner(num_blocks=64)
    runner.before_pass = gate.hold
    async with service(hash_engine(runner=runner, max_rows=16)) as rig:
        proposer = Proposer(rig)
        await proposer.send(LONG_PROMPT)
        for _ in range(2):
            await asyncio.to_thread(gate.let_one_pass)
        await asyncio.to_thread(gate.wait_for_pass)
        [task] = rig.engine._tasks
        ids = [*LONG_PROMPT, 5]
        await proposer.send(ids, round_=1)
        assert (await proposer.receive()).error.reason == "SUPERSEDED"
        await until(lambda: task.handle.is_abandoned)
        gate.open()
        result = await proposer.receive()
        assert list(result.proposal.draft_ids) == continuation(ids, 3)
        num_prompt_passes = -(-(len(ids) - 3 * 16) // 16)
        assert result.proposal.timing.num_steps == num_prompt_passes + 2
