"""DraftService over a socket: drafting ahead hides time and never changes a proposal."""

from typing import Any

import pytest

from draft_service.program import draft_service
from draft_service.session import DraftSession
from paceline.v1 import draft_service_pb2 as messages
from paceline.v1 import round_pb2
from paceline.v1.draft_service_pb2_grpc import DraftServiceStub
from tests.draft_service.propose_stream import ProposeStream
from tests.paceline.serving.fake_engine import VOCABULARY_SIZE, continuation
from tests.paceline.serving.rig import Rig, model_service, point, until

PROMPT = [5, 6, 7]
OWN = continuation(PROMPT, 40)
CONTEXT = [*PROMPT, *OWN]


def service(**options: Any):
    return model_service(draft_service, DraftSession, **options)


class Proposer(ProposeStream):
    async def propose(self, request: messages.ProposalRequest) -> messages.ProposalResult:
        await self.write(request)
        return await self.receive()


def request_of(
    ids: list[int], position: int = 0, *, num: int = 3, ahead: int = 0, epoch: int = 1, round_: int = 0
) -> messages.ProposalRequest:
    return messages.ProposalRequest(
        point=point("a", position, ids, epoch), round=round_, num_draft_tokens=num, max_ahead_tokens=ahead
    )


def known_ids(rig: Rig) -> list[int]:
    [sequence] = rig.engine.open_sequences
    return list(sequence.token_ids)


async def test_a_proposal_is_the_models_continuation() -> None:
    async with service() as rig:
        result = await Proposer(rig).propose(request_of(PROMPT))
        assert (list(result.proposal.draft_ids), result.proposal.num_ahead_tokens) == (OWN[:3], 0)


async def test_no_draft_tokens_only_bring_the_cache_to_the_point() -> None:
    async with service() as rig:
        proposer = Proposer(rig)
        result = await proposer.propose(request_of(PROMPT, num=0))
        assert list(result.proposal.draft_ids) == []
        assert known_ids(rig) == PROMPT
        assert len(rig.engine.works) == 1


async def test_a_hit_is_answered_while_a_pass_is_running() -> None:
    async with service() as rig:
        proposer = Proposer(rig)
        await proposer.propose(request_of(PROMPT, num=3, ahead=4))
        await until(lambda: len(known_ids(rig)) == 3 + 3 + 4)
        rig.engine.hold()
        # All three and the bonus were right: three more are there.
        hit = await proposer.propose(request_of(CONTEXT[:7], 3, num=3, ahead=4))
        assert (list(hit.proposal.draft_ids), hit.proposal.num_ahead_tokens) == (CONTEXT[7:10], 3)
        # And the same again out of a work that is held in the middle.
        await until(lambda: len(rig.engine.works) == 3)
        rig.engine.allow(2)
        await until(lambda: len(known_ids(rig)) == 12)
        hit = await proposer.propose(request_of(CONTEXT[:11], 7, num=1, ahead=4))
        assert (list(hit.proposal.draft_ids), hit.proposal.num_ahead_tokens) == ([CONTEXT[11]], 1)
        assert len(rig.engine.works) == 3


async def test_a_hit_with_too_few_ids_draws_only_the_rest() -> None:
    async with service() as rig:
        proposer = Proposer(rig)
        await proposer.propose(request_of(PROMPT, num=2, ahead=2))
        await until(lambda: len(known_ids(rig)) == 7)
        await until(lambda: rig.engine.handles == [])
        result = await proposer.propose(request_of(CONTEXT[:6], 3, num=3))
        assert (list(result.proposal.draft_ids), result.proposal.num_ahead_tokens) == (CONTEXT[6:9], 1)
        work = rig.engine.works[-1]
        assert (work.position + len(work.token_ids), work.num_selected + work.num_drawn) == (7, 2)
        assert not work.background


async def test_a_hit_on_a_running_work_ends_it_and_draws_the_rest() -> None:
    async with service() as rig:
        proposer = Proposer(rig)
        rig.engine.hold()
        await proposer.write(request_of(PROMPT, num=0, ahead=40))
        await until(lambda: len(rig.engine.works) == 1)
        rig.engine.allow(1)
        await proposer.receive()
        await until(lambda: len(rig.engine.works) == 2)
        rig.engine.allow(3)
        await until(lambda: len(known_ids(rig)) == 7)
        await proposer.write(request_of(CONTEXT[:4], 3, num=30))
        ahead = rig.engine.handles[0]
        await until(lambda: ahead.is_finishing)
        rig.engine.let_go()
        result = await proposer.receive()
        assert (list(result.proposal.draft_ids), result.proposal.num_ahead_tokens) == (CONTEXT[4:34], 3)
        assert [len(work.token_ids) for work in rig.engine.works] == [3, 1, 1]


async def test_a_miss_overrides_what_was_drafted_ahead() -> None:
    async with service() as rig:
        proposer = Proposer(rig)
        await proposer.propose(request_of(PROMPT, num=3, ahead=5))
        committed = [*CONTEXT[:4], 1]
        result = await proposer.propose(request_of(committed, 3, num=3, ahead=5))
        assert list(result.proposal.draft_ids) == continuation(committed, 3)
        assert result.proposal.num_ahead_tokens == 0


async def test_a_miss_is_queued_behind_the_pass_that_runs() -> None:
    async with service() as rig:
        proposer = Proposer(rig)
        rig.engine.hold()
        await proposer.write(request_of(PROMPT, num=1, ahead=30))
        await until(lambda: len(rig.engine.works) == 1)
        rig.engine.allow(1)
        await proposer.receive()
        await until(lambda: len(rig.engine.works) == 2)
        rig.engine.allow(1)
        await until(lambda: len(known_ids(rig)) >= 5)
        committed = [*CONTEXT[:3], 1]
        await proposer.write(request_of(committed, 3, num=2))
        await until(lambda: len(rig.engine.works) == 3)
        rig.engine.let_go()
        result = await proposer.receive()
        assert list(result.proposal.draft_ids) == continuation(committed, 2)
        assert rig.engine.works[1].background
        assert len(rig.engine.works) == 3


@pytest.mark.parametrize("num_ahead", [0, 1, 2, 3, 5, 9])
async def test_drafting_ahead_changes_no_proposal(num_ahead: int) -> None:
    """The target takes a different number of draft tokens each round, and now and then its own."""
    async with service() as rig:
        proposer = Proposer(rig)
        ids, position = list(PROMPT), 0
        for round_ in range(30):
            num = round_ % 5
            request = request_of(ids, position, num=num, ahead=num_ahead, round_=round_)
            result = await proposer.propose(request)
            expected = continuation(ids, num)
            assert list(result.proposal.draft_ids) == expected
            num_accepted = round_ * 7 % (num + 1)
            accepted = expected[:num_accepted]
            own = round_ if round_ % 3 == 0 else continuation([*ids, *accepted], 1)[0]
            position, ids = len(ids), [*ids, *accepted, own]


async def test_a_repeat_gives_the_same_proposal_without_work() -> None:
    async with service() as rig:
        proposer = Proposer(rig)
        first = await proposer.propose(request_of(PROMPT))
        again = await proposer.propose(request_of(PROMPT, round_=5))
        assert again.round == 5
        assert again.proposal == first.proposal
        assert len(rig.engine.works) == 1


async def test_a_newer_request_takes_the_place_of_one_that_runs() -> None:
    async with service() as rig:
        proposer = Proposer(rig)
        rig.engine.hold()
        await proposer.write(request_of(PROMPT, num=60, round_=1))
        await until(lambda: len(rig.engine.works) == 1)
        await proposer.write(request_of([*PROMPT, 9], num=2, round_=2))
        old = await proposer.receive()
        assert (old.round, old.error.reason) == (1, "SUPERSEDED")
        rig.engine.let_go()
        new = await proposer.receive()
        assert (new.round, list(new.proposal.draft_ids)) == (2, continuation([*PROMPT, 9], 2))


async def test_a_failed_round_leaves_what_was_known() -> None:
    async with service() as rig:
        proposer = Proposer(rig)
        await proposer.propose(request_of(PROMPT, num=2, ahead=2))
        too_long = await proposer.propose(request_of([*PROMPT, *[1] * 300], 3))
        assert too_long.error.reason == "CONTEXT_TOO_LONG"
        result = await proposer.propose(request_of(CONTEXT[:5], 3, num=3))
        assert list(result.proposal.draft_ids) == CONTEXT[5:8]


async def test_drafting_ahead_ends_with_the_context() -> None:
    long = [1] * 195
    async with service() as rig:
        proposer = Proposer(rig)
        await proposer.propose(request_of(long, num=2, ahead=60))
        result = await proposer.propose(request_of([*long, 2], 195, num=2))
        assert list(result.proposal.draft_ids) == continuation([*long, 2], 2)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (request_of([VOCABULARY_SIZE]), "TOKEN_OUT_OF_VOCABULARY"),
        (request_of([]), "INVALID_REQUEST"),
        (request_of(PROMPT, num=65), "INVALID_REQUEST"),
        (request_of(PROMPT, ahead=65), "INVALID_REQUEST"),
        (request_of(PROMPT, 2), "POSITION_MISMATCH"),
        (request_of([1] * 201), "CONTEXT_TOO_LONG"),
    ],
)
async def test_a_bad_request_is_refused_and_leaves_no_sequence(
    bad: messages.ProposalRequest, reason: str
) -> None:
    async with service() as rig:
        result = await Proposer(rig).propose(bad)
        assert result.error.reason == reason
        assert rig.engine.open_sequences == []


async def test_a_release_while_drafting_ahead_frees_the_cache() -> None:
    async with service() as rig:
        await Proposer(rig).propose(request_of(PROMPT, num=2, ahead=60))
        request = messages.DraftServiceReleaseSessionsRequest(
            sessions=[round_pb2.SessionRelease(session_id="a", epoch=1)]
        )
        assert (await DraftServiceStub(rig.channel).ReleaseSessions(request)).num_released == 1
        assert rig.engine.open_sequences == []
