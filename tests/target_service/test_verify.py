"""TargetService over a socket: verdicts, and what one bad round may not touch."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from paceline.serving.session import Session
from paceline.serving.status import error_reason
from paceline.v1 import round_pb2, sampling_pb2
from paceline.v1 import target_service_pb2 as messages
from paceline.v1.target_service_pb2_grpc import TargetServiceStub
from target_service.program import target_service
from tests.paceline.serving.fake_engine import VOCABULARY_SIZE, continuation
from tests.paceline.serving.rig import Rig, model_service, point, until

if TYPE_CHECKING:
    from paceline.v1.target_service_pb2_grpc import TargetServiceAsyncStub

PROMPT = [5, 6, 7]


def service(**options: Any):
    return model_service(target_service, Session, **options)


def stub_of(rig: Rig) -> "TargetServiceAsyncStub":
    return TargetServiceStub(rig.channel)


class Verifier:
    """One Verify stream; results by session and round."""

    def __init__(self, rig: Rig) -> None:
        self.call = stub_of(rig).Verify()

    async def send(self, *rounds: messages.VerifyRound) -> None:
        await self.call.write(messages.VerifyRequest(rounds=rounds))

    async def receive(self, num_results: int = 1) -> list[messages.VerifyResult]:
        results: list[messages.VerifyResult] = []
        while len(results) < num_results:
            response = await self.call.read()
            assert isinstance(response, messages.VerifyResponse), "the stream ended"
            results += response.results
        return results

    async def verify(self, *rounds: messages.VerifyRound) -> list[messages.VerifyResult]:
        await self.send(*rounds)
        return await self.receive(len(rounds))


def round_of(ids: list[int], position: int = 0, session_id: str = "a", epoch: int = 1, **fields: Any):
    return messages.VerifyRound(point=point(session_id, position, ids, epoch), **fields)


def rejected(**fields: Any) -> messages.VerifyRound:
    """A round of one draft token, 1, to be judged by accept-reject."""
    sampling = round_pb2.SamplingParameters(temperature=1, verification=sampling_pb2.VERIFICATION_REJECTION)
    return messages.VerifyRound(point=point("bad", 0, PROMPT, sampling=sampling), draft_ids=[1], **fields)


def reason_of(result: messages.VerifyResult) -> str:
    assert result.WhichOneof("outcome") == "error", result
    return result.error.reason


async def test_accepted_ids_are_the_targets_own_and_the_next_one_is_recovered_or_bonus() -> None:
    own = continuation(PROMPT, 4)
    async with service() as rig:
        verifier = Verifier(rig)
        [all_accepted] = await verifier.verify(round_of(PROMPT, draft_ids=own[:3], round=0))
        assert (all_accepted.verdict.num_accepted, list(all_accepted.verdict.own_ids)) == (3, [own[3]])
        [refused] = await verifier.verify(round_of([*PROMPT, own[0]], 3, draft_ids=[own[1], 1, 2], round=1))
        assert (refused.verdict.num_accepted, list(refused.verdict.own_ids)) == (1, [own[2]])
        assert refused.round == 1


async def test_alone_the_target_decodes_up_to_max_own_tokens_or_a_stop_id() -> None:
    own = continuation(PROMPT, 5)
    async with service() as rig:
        verifier = Verifier(rig)
        [result] = await verifier.verify(round_of(PROMPT, max_own_tokens=5))
        assert list(result.verdict.own_ids) == own
        [result] = await verifier.verify(round_of(PROMPT, max_own_tokens=5, stop_ids=[own[2]]))
        assert list(result.verdict.own_ids) == own[:3]
        [result] = await verifier.verify(round_of(PROMPT))
        assert list(result.verdict.own_ids) == own[:1]


async def test_a_repeat_is_answered_alike_and_applied_once() -> None:
    async with service() as rig:
        verifier = Verifier(rig)
        [first] = await verifier.verify(round_of(PROMPT, draft_ids=[1, 2]))
        [again] = await verifier.verify(round_of(PROMPT, draft_ids=[1, 2], round=9))
        assert again.round == 9
        assert again.verdict == first.verdict
        assert len(rig.engine.works) == 1


async def test_a_repeat_while_its_round_runs_joins_it_from_another_stream() -> None:
    async with service() as rig:
        rig.engine.hold()
        first, second = Verifier(rig), Verifier(rig)
        await first.send(round_of(PROMPT, draft_ids=[1]))
        await until(lambda: len(rig.engine.works) == 1)
        await second.send(round_of(PROMPT, draft_ids=[1]), round_of(PROMPT, session_id="b"))
        await until(lambda: len(rig.engine.works) == 2)
        rig.engine.let_go()
        [answer] = await first.receive()
        joined = [result for result in await second.receive(2) if result.session_id == "a"]
        assert joined[0].verdict == answer.verdict
        assert len(rig.engine.works) == 2


async def test_a_stale_epoch_is_refused_and_changes_nothing() -> None:
    own = continuation(PROMPT, 2)
    async with service() as rig:
        verifier = Verifier(rig)
        await verifier.verify(round_of(PROMPT, epoch=4))
        [stale] = await verifier.verify(round_of([9, 9], epoch=3))
        assert reason_of(stale) == "STALE_EPOCH"
        assert stale.error.code == grpc.StatusCode.ABORTED.value[0]
        assert dict(stale.error.metadata) == {"epoch": "3", "known_epoch": "4"}
        [good] = await verifier.verify(round_of([*PROMPT, own[0]], 3, epoch=5))
        assert list(good.verdict.own_ids) == [own[1]]
        assert reason_of((await verifier.verify(round_of(PROMPT, epoch=4)))[0]) == "STALE_EPOCH"


async def test_an_epoch_stays_known_after_its_session_was_released() -> None:
    async with service() as rig:
        verifier = Verifier(rig)
        await verifier.verify(round_of(PROMPT, epoch=4))
        await stub_of(rig).ReleaseSessions(
            messages.TargetServiceReleaseSessionsRequest(
                sessions=[round_pb2.SessionRelease(session_id="a", epoch=4)]
            )
        )
        assert reason_of((await verifier.verify(round_of(PROMPT, epoch=3)))[0]) == "STALE_EPOCH"


async def test_a_wrong_position_is_refused_until_all_ids_are_sent() -> None:
    own = continuation(PROMPT, 1)
    async with service() as rig:
        verifier = Verifier(rig)
        [unknown] = await verifier.verify(round_of([*PROMPT, 8], 3))
        assert reason_of(unknown) == "POSITION_MISMATCH"
        assert unknown.error.metadata["known_position"] == "0"
        assert rig.engine.open_sequences == []
        await verifier.verify(round_of([1, 2, 3]))
        [other_ids] = await verifier.verify(round_of([*PROMPT, own[0]], 3))
        assert reason_of(other_ids) == "POSITION_MISMATCH"
        [too_far] = await verifier.verify(round_of([*range(9), 8], 9))
        assert too_far.error.metadata["known_position"] == "3"
        [resent] = await verifier.verify(round_of([*PROMPT, own[0]]))
        assert list(resent.verdict.own_ids) == continuation([*PROMPT, own[0]], 1)


async def test_a_newer_round_takes_the_place_of_one_that_runs() -> None:
    async with service() as rig:
        rig.engine.hold()
        verifier = Verifier(rig)
        await verifier.send(round_of(PROMPT, max_own_tokens=50, round=1))
        await until(lambda: len(rig.engine.works) == 1)
        await verifier.send(round_of(PROMPT, epoch=2, round=2))
        [old] = await verifier.receive()
        assert (old.round, reason_of(old)) == (1, "SUPERSEDED")
        rig.engine.let_go()
        [new] = await verifier.receive()
        assert (new.round, list(new.verdict.own_ids)) == (2, continuation(PROMPT, 1))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (round_of([VOCABULARY_SIZE], session_id="bad"), "TOKEN_OUT_OF_VOCABULARY"),
        (round_of(PROMPT, session_id="bad", draft_ids=[VOCABULARY_SIZE]), "TOKEN_OUT_OF_VOCABULARY"),
        (round_of(PROMPT, session_id="bad", draft_ids=[1] * 65), "INVALID_REQUEST"),
        (round_of(PROMPT, session_id="bad", max_own_tokens=65), "INVALID_REQUEST"),
        (round_of([], session_id="bad"), "INVALID_REQUEST"),
        (round_of(PROMPT, session_id=""), "INVALID_REQUEST"),
        (round_of(PROMPT, session_id="é" * 33), "INVALID_REQUEST"),
        (round_of([1] * 201, session_id="bad"), "CONTEXT_TOO_LONG"),
        (
            messages.VerifyRound(
                point=point("bad", 0, PROMPT, sampling=round_pb2.SamplingParameters(temperature=-1))
            ),
            "INVALID_REQUEST",
        ),
        (
            round_of(PROMPT, session_id="bad", draft_ids=[1, 2], draft_distributions=[b""]),
            "INVALID_REQUEST",
        ),
        (rejected(draft_distributions=[b"12345"]), "INVALID_REQUEST"),
        (rejected(draft_distributions=[bytes.fromhex("02000000ffff")]), "INVALID_REQUEST"),
        (rejected(draft_distributions=[bytes.fromhex("01000000feff")]), "INVALID_REQUEST"),
        (round_of(PROMPT, session_id="bad", with_prompt_logprobs=True), "INVALID_REQUEST"),
        (
            messages.VerifyRound(
                point=point(
                    "bad",
                    0,
                    PROMPT,
                    sampling=round_pb2.SamplingParameters(structure=sampling_pb2.Structure(regex="a")),
                )
            ),
            "INVALID_REQUEST",  # this service hosts no tokenizer to compile it for
        ),
    ],
)
async def test_a_bad_round_is_refused_beside_a_good_one_and_leaves_no_sequence(
    bad: messages.VerifyRound, reason: str
) -> None:
    async with service() as rig:
        results = await Verifier(rig).verify(bad, round_of(PROMPT, session_id="good"))
        by_session = {result.session_id: result for result in results}
        assert reason_of(by_session[bad.point.session_id]) == reason
        assert list(by_session["good"].verdict.own_ids) == continuation(PROMPT, 1)
        assert len(rig.engine.open_sequences) == 1


async def test_a_second_round_of_a_session_in_one_frame_is_refused() -> None:
    async with service() as rig:
        results = await Verifier(rig).verify(round_of(PROMPT, round=1), round_of(PROMPT, round=2))
        assert {result.round: result.WhichOneof("outcome") for result in results} == {
            1: "verdict",
            2: "error",
        }


async def test_sessions_beyond_the_limit_are_refused() -> None:
    async with service(max_sessions=1) as rig:
        results = await Verifier(rig).verify(round_of(PROMPT), round_of(PROMPT, session_id="b"))
        assert [reason_of(one) for one in results if one.session_id == "b"] == ["TOO_MANY_SESSIONS"]


async def test_an_oversized_frame_ends_its_stream_with_a_reason_and_no_other() -> None:
    async with service(max_message_bytes=1024) as rig:
        other, verifier = Verifier(rig), Verifier(rig)
        await other.verify(round_of(PROMPT, session_id="b"))
        await verifier.send(round_of([300] * 1000))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await verifier.receive()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert error_reason(caught.value).reason == "MESSAGE_TOO_LARGE"
        assert (await other.verify(round_of(PROMPT, session_id="b")))[0].HasField("verdict")


async def test_a_frame_beyond_what_the_transport_reads_has_the_same_reason() -> None:
    async with service(max_message_bytes=1024) as rig:
        verifier = Verifier(rig)
        with suppress(grpc.aio.AioRpcError):
            await verifier.send(round_of([300] * 10_000))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await verifier.receive()
        assert error_reason(caught.value).reason == "MESSAGE_TOO_LARGE"


@pytest.mark.parametrize(
    ("serialized", "reason"), [(b"\xff\xff", "INVALID_REQUEST"), (b"\n\x05\n\x03\n\x01\xff", "INVALID_UTF8")]
)
async def test_a_frame_that_cannot_be_read_ends_its_stream_with_a_reason(
    serialized: bytes, reason: str
) -> None:
    async with service() as rig:
        call = rig.channel.stream_stream("/paceline.v1.TargetService/Verify")()
        await call.write(serialized)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error_reason(caught.value).reason == reason


async def test_a_client_that_vanishes_keeps_its_session_until_it_is_released() -> None:
    async with service() as rig:
        rig.engine.hold()
        verifier = Verifier(rig)
        await verifier.send(round_of(PROMPT))
        await until(lambda: len(rig.engine.works) == 1)
        verifier.call.cancel()
        rig.engine.let_go()
        [again] = await Verifier(rig).verify(round_of(PROMPT))
        assert list(again.verdict.own_ids) == continuation(PROMPT, 1)
        assert len(rig.engine.works) == 1
        request = messages.TargetServiceReleaseSessionsRequest(
            sessions=[
                round_pb2.SessionRelease(session_id="a", epoch=1),
                round_pb2.SessionRelease(session_id="unknown", epoch=1),
            ]
        )
        assert (await stub_of(rig).ReleaseSessions(request)).num_released == 1
        assert rig.engine.open_sequences == []
        assert (await stub_of(rig).ReleaseSessions(request)).num_released == 0


async def test_a_release_under_a_lower_epoch_leaves_the_session() -> None:
    async with service() as rig:
        await Verifier(rig).verify(round_of(PROMPT, epoch=2))
        request = messages.TargetServiceReleaseSessionsRequest(
            sessions=[round_pb2.SessionRelease(session_id="a", epoch=1)]
        )
        assert (await stub_of(rig).ReleaseSessions(request)).num_released == 0
        assert len(rig.engine.open_sequences) == 1


async def test_a_release_while_a_round_runs_answers_it_superseded() -> None:
    async with service() as rig:
        rig.engine.hold()
        verifier = Verifier(rig)
        await verifier.send(round_of(PROMPT))
        await until(lambda: len(rig.engine.works) == 1)
        await stub_of(rig).ReleaseSessions(
            messages.TargetServiceReleaseSessionsRequest(
                sessions=[round_pb2.SessionRelease(session_id="a", epoch=1)]
            )
        )
        assert reason_of((await verifier.receive())[0]) == "SUPERSEDED"
        assert rig.engine.open_sequences == []


async def test_an_idle_session_expires() -> None:
    async with service(session_idle_seconds=0.05) as rig:
        await Verifier(rig).verify(round_of(PROMPT))
        await until(lambda: rig.engine.open_sequences == [])


async def test_a_drain_answers_what_runs_and_then_ends_the_stream() -> None:
    async with service() as rig:
        serving = asyncio.create_task(rig.server.serve())
        rig.engine.hold()
        verifier = Verifier(rig)
        await verifier.send(round_of(PROMPT))
        await until(lambda: len(rig.engine.works) == 1)
        rig.server.request_stop()
        await until(rig.host._draining.is_set)
        rig.engine.let_go()
        [answered] = await verifier.receive()
        assert answered.HasField("verdict")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await verifier.receive()
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert error_reason(caught.value).reason == "DRAINING"
        await serving
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await Verifier(rig).receive()
        assert error_reason(caught.value).reason == "DRAINING"


async def test_the_model_is_described() -> None:
    async with service() as rig:
        response = await stub_of(rig).GetModel(messages.TargetServiceGetModelRequest())
        assert (response.model.name, response.model.vocabulary_size) == ("fake", VOCABULARY_SIZE)
        assert response.model.vocabulary_sha256 == "aa"
        assert response.replica.replica_id == "replica-0"
        assert response.replica.incarnation
