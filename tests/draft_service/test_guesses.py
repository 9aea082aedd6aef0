"""DraftService on the real scheduler and cache: what it drafts behind other outcomes of a round than the likeliest."""

import asyncio
from functools import partial
from typing import Any

import numpy as np
import pytest

from draft_service.guess_budget import GuessBudget
from draft_service.program import draft_service
from draft_service.session import DraftSession
from paceline.engine.batch import Batch
from paceline.engine.engine import Engine
from paceline.engine.work import Logits
from paceline.sampling.parameters import SamplingParameters, Verification
from paceline.serving.sampling_messages import sampling_message
from paceline.v1 import draft_service_pb2 as messages
from tests.draft_service.propose_stream import ProposeStream
from tests.paceline.engine.capture import settle
from tests.paceline.engine.hash_runner import VOCABULARY_SIZE, Gate, HashRunner, continuation, hash_engine
from tests.paceline.serving.rig import Rig, model_service, point, until

PROMPT = list(range(10))
GUESSED = messages.AHEAD_OUTCOME_GUESSED


class TwoBestRunner(HashRunner):
    """Finds the id after its own choice next best, with 0.27 of the chances."""

    def forward(self, batch: Batch) -> Logits:
        chosen = super().forward(batch).argmax(axis=1)
        logits = np.full((len(chosen), VOCABULARY_SIZE), -20, np.float32)
        logits[np.arange(len(chosen)), chosen] = 1
        logits[np.arange(len(chosen)), (chosen + 1) % VOCABULARY_SIZE] = 0
        return logits


class SometimesSureRunner(HashRunner):
    """As `TwoBestRunner`, but of even ids it is sure: there the next best one has 0.05 of the chances."""

    def forward(self, batch: Batch) -> Logits:
        chosen = super().forward(batch).argmax(axis=1)
        logits = np.full((len(chosen), VOCABULARY_SIZE), -20, np.float32)
        logits[np.arange(len(chosen)), (chosen + 1) % VOCABULARY_SIZE] = np.where(chosen % 2, 0, -2)
        logits[np.arange(len(chosen)), chosen] = 1
        return logits


def next_best(token_id: int) -> int:
    return (token_id + 1) % VOCABULARY_SIZE


def service(engine: Engine, max_guesses: int = 8):
    budget = GuessBudget(max_guesses)
    return model_service(draft_service, partial(DraftSession, guess_budget=budget), engine)


def two_best_engine(**options: Any) -> Engine:
    return hash_engine(runner=TwoBestRunner(options.pop("num_blocks", 64)), **options)


class Proposer(ProposeStream):
    """One session on a Propose stream."""

    def __init__(self, rig: Rig, session_id: str = "a", **wishes: Any) -> None:
        super().__init__(rig)
        self.session_id = session_id
        self._wishes = {"num_draft_tokens": 2, "max_ahead_tokens": 3, "max_ahead_guesses": 2} | wishes
        self._num_known = 0
        self._round = 0
        self._rig = rig

    async def propose(self, ids: list[int], **wishes: Any) -> messages.Proposal:
        """Ask for what follows some ids, all before the last ones being known already."""
        result = await self.ask(ids, **wishes)
        assert result.HasField("proposal"), result.error
        return result.proposal

    async def ask(self, ids: list[int], sampling: Any = None, **wishes: Any) -> messages.ProposalResult:
        start = point(self.session_id, self._num_known, ids, sampling=sampling)
        await self.write(messages.ProposalRequest(point=start, round=self._round, **(self._wishes | wishes)))
        self._num_known, self._round = len(ids), self._round + 1
        return await self.receive()

    def took(self, num_accepted: int) -> None:
        """Note that the cache holds accepted draft ids."""
        self._num_known += num_accepted

    async def rest(self) -> None:
        """Wait until nothing is drafted ahead any more."""
        session = self._rig.host.sessions.find(self.session_id)
        assert session is not None
        # Drafting ahead may have been refused for want of room.
        await until(
            lambda: len((ids := session._main.ids).known) >= session._main.limit or ids.latest is None
        )
        await until(lambda: not session._drafting_guesses)
        await asyncio.to_thread(settle, self._rig.engine)


@pytest.mark.parametrize("num_accepted", [0, 1])
async def test_the_next_best_id_in_place_of_a_refused_one_has_its_proposal_ready(num_accepted: int) -> None:
    async with service(two_best_engine()) as rig:
        proposer = Proposer(rig)
        drafts = list((await proposer.propose(PROMPT)).draft_ids)
        await proposer.rest()
        num_steps = rig.engine.progress().num_steps
        proposer.took(num_accepted)
        ids = [*PROMPT, *drafts[:num_accepted], next_best(drafts[num_accepted])]
        proposal = await proposer.propose(ids, max_ahead_tokens=0)
        assert list(proposal.draft_ids) == continuation(ids, 2)
        assert (proposal.num_ahead_tokens, proposal.ahead_outcome) == (2, GUESSED)
        assert proposal.num_dropped_tokens == 3 + 2, "those of the line that went on, and of the other guess"
        assert rig.engine.progress().num_steps == num_steps


async def test_the_next_best_id_behind_the_last_one_has_its_proposal_ready() -> None:
    async with service(two_best_engine()) as rig:
        proposer = Proposer(rig, max_ahead_guesses=3)
        drafts = list((await proposer.propose(PROMPT)).draft_ids)
        await proposer.rest()
        proposer.took(2)
        ids = [*PROMPT, *drafts]
        ids.append(next_best(continuation(ids, 1)[0]))
        proposal = await proposer.propose(ids)
        assert list(proposal.draft_ids) == continuation(ids, 2)
        assert (proposal.num_ahead_tokens, proposal.ahead_outcome) == (2, GUESSED)


async def test_the_next_best_id_behind_a_prompt_has_its_proposal_ready() -> None:
    async with service(two_best_engine()) as rig:
        proposer = Proposer(rig)
        await proposer.propose(PROMPT, num_draft_tokens=0)
        await proposer.rest()
        ids = [*PROMPT, next_best(continuation(PROMPT, 1)[0])]
        proposal = await proposer.propose(ids)
        assert list(proposal.draft_ids) == continuation(ids, 2)
        assert (proposal.num_ahead_tokens, proposal.ahead_outcome) == (2, GUESSED)


async def test_what_was_thought_of_a_text_that_did_not_come_is_no_guess_of_the_one_that_did() -> None:
    async with service(two_best_engine()) as rig:
        proposer = Proposer(rig, max_ahead_guesses=3)
        drafts = list((await proposer.propose(PROMPT)).draft_ids)
        await proposer.rest()
        ids = [*PROMPT, next_best(next_best(drafts[0]))]
        ids += (await proposer.propose(ids)).draft_ids
        await proposer.rest()
        proposer.took(2)
        # Three ids had been drafted ahead: the one at this place, too, behind another text.
        proposal = await proposer.propose([*ids, next_best(continuation(ids, 1)[0])])
        assert proposal.ahead_outcome == GUESSED


async def test_a_likelier_guess_behind_the_last_id_takes_the_place_of_another() -> None:
    prompts = ([*PROMPT, last] for last in range(VOCABULARY_SIZE))
    prompt = next(ids for ids in prompts if [one % 2 for one in continuation(ids, 3)] == [0, 0, 1])
    async with service(hash_engine(runner=SometimesSureRunner(64)), max_guesses=1) as rig:
        proposer = Proposer(rig, max_ahead_guesses=1)
        await proposer.propose(prompt)
        await proposer.rest()
        proposer.took(2)
        ids = [*prompt, *continuation(prompt, 2), next_best(continuation(prompt, 3)[2])]
        proposal = await proposer.propose(ids)
        assert (proposal.num_ahead_tokens, proposal.ahead_outcome) == (2, GUESSED)


async def test_an_outcome_that_nobody_guessed_is_drafted_anew() -> None:
    async with service(two_best_engine()) as rig:
        proposer = Proposer(rig)
        drafts = list((await proposer.propose(PROMPT)).draft_ids)
        await proposer.rest()
        ids = [*PROMPT, next_best(next_best(drafts[0]))]
        proposal = await proposer.propose(ids)
        assert list(proposal.draft_ids) == continuation(ids, 2)
        assert (proposal.num_ahead_tokens, proposal.ahead_outcome) == (0, messages.AHEAD_OUTCOME_MISSED)
        assert proposal.num_dropped_tokens == 3 + 2 + 2


async def test_a_line_that_was_a_guess_has_guesses_of_its_own() -> None:
    async with service(two_best_engine(), max_guesses=2) as rig:
        proposer, ids = Proposer(rig), PROMPT
        drafts = list((await proposer.propose(ids)).draft_ids)
        for _ in range(4):
            await proposer.rest()
            ids = [*ids, next_best(drafts[0])]
            proposal = await proposer.propose(ids)
            assert proposal.ahead_outcome == GUESSED
            drafts = list(proposal.draft_ids)


async def test_a_miss_that_comes_while_guesses_are_drafted_leaves_their_places_to_its_own() -> None:
    gate, runner = Gate(), TwoBestRunner(64)
    runner.before_pass = gate.hold
    async with service(hash_engine(runner=runner), max_guesses=2) as rig:
        proposer = Proposer(rig, num_draft_tokens=4)
        answer = asyncio.create_task(proposer.propose(PROMPT))
        for _ in range(4):
            await asyncio.to_thread(gate.let_one_pass)
        drafts = list((await answer).draft_ids)
        session = rig.host.sessions.find(proposer.session_id)
        assert session is not None
        await until(lambda: len(session._drafting_guesses) == 2)
        await asyncio.to_thread(gate.wait_for_pass)
        ids = [*PROMPT, next_best(next_best(drafts[0]))]
        answer = asyncio.create_task(proposer.propose(ids))
        await until(lambda: any(not one.work.background for one in rig.engine._inbox.handles))
        gate.open()
        drafts = list((await answer).draft_ids)
        await proposer.rest()
        proposal = await proposer.propose([*ids, next_best(drafts[0])])
        assert proposal.ahead_outcome == GUESSED


@pytest.mark.parametrize("num_guesses", [0, 1, 3])
@pytest.mark.parametrize("num_awaited", [0, 1, None])
async def test_guesses_change_no_proposal(num_guesses: int, num_awaited: int | None) -> None:
    """Three sessions at once in a cache that is too small for all of their guesses, with outcomes of every kind."""
    random = np.random.default_rng(num_guesses)

    async def generate(proposer: Proposer, ids: list[int]) -> None:
        for _ in range(25):
            num = int(random.integers(5))
            awaited = num if num_awaited is None else min(num, num_awaited)
            wishes = {"num_awaited_tokens": awaited, "max_ahead_guesses": num_guesses}
            proposal = await proposer.propose(ids, num_draft_tokens=num, **wishes)
            drafts = list(proposal.draft_ids)
            assert drafts == continuation(ids, len(drafts))
            assert awaited <= len(drafts) <= num
            num_accepted = int(random.integers(len(drafts) + 1))
            accepted = [*ids, *drafts[:num_accepted]]
            best = continuation(accepted, 1)[0]
            proposer.took(num_accepted)
            ids = [*accepted, [best, next_best(best), 7][int(random.integers(3))]]
            if random.integers(2):
                await proposer.rest()

    async with service(two_best_engine(num_blocks=90)) as rig:
        await asyncio.gather(
            *(generate(Proposer(rig, name), [*PROMPT, len(name)]) for name in ("a", "bb", "ccc"))
        )


async def test_with_few_tokens_ready_a_hit_waits_for_no_more_than_are_awaited() -> None:
    async with service(two_best_engine()) as rig:
        proposer = Proposer(rig)
        await proposer.propose(PROMPT)
        await proposer.rest()
        proposer.took(2)
        # The bonus and two more had been drafted ahead.
        ids = [*PROMPT, *continuation(PROMPT, 3)]
        proposal = await proposer.propose(ids, num_draft_tokens=6, num_awaited_tokens=1)
        assert list(proposal.draft_ids) == continuation(ids, 2)
        assert proposal.ahead_outcome == messages.AHEAD_OUTCOME_CONTINUED


async def test_a_miss_draws_what_is_awaited() -> None:
    async with service(two_best_engine()) as rig:
        proposal = await Proposer(rig).propose(PROMPT, num_draft_tokens=6, num_awaited_tokens=2)
        assert list(proposal.draft_ids) == continuation(PROMPT, 2)


async def test_sessions_share_the_places_for_guesses_and_give_them_back() -> None:
    gate, runner = Gate(), TwoBestRunner(64)
    runner.before_pass = gate.hold

    def num_guessed(proposer: Proposer) -> int:
        session = rig.host.sessions.find(proposer.session_id)
        return len(session._guessed) if session is not None else 0

    async with service(hash_engine(runner=runner), max_guesses=3) as rig:
        first, second = Proposer(rig, "a", num_draft_tokens=4), Proposer(rig, "b")
        answer = asyncio.create_task(first.propose(PROMPT))
        for _ in range(4):
            await asyncio.to_thread(gate.let_one_pass)
        await answer
        await until(lambda: num_guessed(first) == 2)
        await asyncio.to_thread(gate.wait_for_pass)
        answer = asyncio.create_task(second.propose(PROMPT[:5]))
        await until(lambda: any(not one.work.background for one in rig.engine._inbox.handles))
        for _ in range(3):
            await asyncio.to_thread(gate.let_one_pass)
        await answer
        await until(lambda: num_guessed(second) == 1)
        gate.open()
        await first.rest()
        await second.rest()
        await second.propose([*PROMPT[:5], 1])
        await until(lambda: num_guessed(second) == 2)


async def test_no_guess_takes_the_last_quarter_of_the_cache() -> None:
    async with service(two_best_engine(num_blocks=14)) as rig:
        await Proposer(rig, "a", max_ahead_tokens=0, max_ahead_guesses=0).propose([1] * 36)
        proposer = Proposer(rig, "b", max_ahead_tokens=1)
        await proposer.propose(PROMPT[:5])
        session = rig.host.sessions.find("b")
        assert session is not None
        await proposer.rest()
        assert session._guessed == {}


async def test_the_draft_does_not_guess_what_it_cannot_know() -> None:
    async with service(two_best_engine()) as rig:
        proposer = Proposer(rig)
        sampling = SamplingParameters(temperature=1.0, verification=Verification.REJECTION)
        await proposer.propose(PROMPT, sampling=sampling_message(sampling))
        session = rig.host.sessions.find("a")
        assert session is not None
        assert session._guessed == {}


@pytest.mark.parametrize(
    ("wishes", "field"),
    [({"num_awaited_tokens": 3}, "num_awaited_tokens"), ({"max_ahead_guesses": 9}, "max_ahead_guesses")],
)
async def test_a_wish_out_of_range_is_refused_by_name(wishes: dict[str, int], field: str) -> None:
    async with service(two_best_engine()) as rig:
        result = await Proposer(rig).ask(PROMPT, **wishes)
        assert (result.error.reason, result.error.metadata["field"]) == ("INVALID_REQUEST", field)
