"""What the suite calls wrong: a stream that misses, repeats or changes anything."""

from dataclasses import replace

import pytest

from paceline.v1 import orchestrator_service_pb2 as pb
from tests.chaos.job import Answer, long_job
from tests.chaos.transcript import Transcript, WrongStreamError

ANSWER = Answer((7, 8, 9), "abc", pb.FINISH_REASON_LENGTH, "", (-1.0, -2.0, -3.0))
JOB = replace(long_job("a job", "a word"), answer=ANSWER)


def started(position: int = 5) -> pb.GenerateResponse:
    return pb.GenerateResponse(
        started=pb.GenerationStarted(
            session_id="s", num_prompt_tokens=5, position=position, rollback_token="t0"
        )
    )


def chunk(position: int, *ids: int, text: str = "", **fields: object) -> pb.GenerateResponse:
    tokens = [pb.GeneratedToken(id=one, logprob=6.0 - one, **fields) for one in ids]  # pyright: ignore[reportArgumentType]
    token = f"t{position}"
    return pb.GenerateResponse(
        chunk=pb.TokenChunk(position=position, tokens=tokens, text=text, rollback_token=token)
    )


def summary(num_tokens: int = 3) -> pb.GenerateResponse:
    usage = pb.Usage(num_completion_tokens=num_tokens)
    return pb.GenerateResponse(
        summary=pb.GenerationSummary(finish_reason=pb.FINISH_REASON_LENGTH, usage=usage)
    )


def transcript_of(*messages: pb.GenerateResponse) -> Transcript:
    transcript = Transcript(JOB)
    for message in messages:
        transcript.add(message)
    return transcript


def test_a_stream_that_is_resumed_adds_up_to_the_answer():
    transcript = transcript_of(
        started(), chunk(5, 7, text="a"), started(6), chunk(6, 8, 9, text="bc"), summary()
    )
    assert transcript.answer() == ANSWER
    assert transcript.token == "t6"


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([chunk(6, 8)], "at position 6 instead of 5"),
        ([chunk(5, 7), chunk(5, 7)], "at position 5 instead of 6"),
        ([chunk(5, 7), started(5)], "resumed at position 5 instead of 6"),
        ([chunk(5, 9)], "log-probability"),
        ([chunk(5)], "without tokens"),
        ([chunk(5, 7, 8, 9, text="abd"), summary()], "text"),
        ([chunk(5, 7, 8, text="ab"), summary(2)], "ids"),
        ([chunk(5, 7, 8, 9, text="abc"), summary(4)], "counts 4"),
        ([chunk(5, 7, 8, 9, text="abc"), summary(), summary()], "second summary"),
    ],
)
def test_anything_else_is_wrong(messages: list[pb.GenerateResponse], complaint: str):
    with pytest.raises(WrongStreamError, match=complaint):
        transcript_of(started(), *messages)


def test_a_token_without_its_log_probability_is_wrong_unless_it_is_sent_again():
    bare = pb.GeneratedToken(id=7)
    message = pb.GenerateResponse(chunk=pb.TokenChunk(position=5, tokens=[bare], rollback_token="t"))
    with pytest.raises(WrongStreamError, match="log-probability"):
        transcript_of(started(), message)
    message.chunk.tokens[0].origin = pb.TOKEN_ORIGIN_REPLAYED
    assert transcript_of(started(), message).ids == [7]
