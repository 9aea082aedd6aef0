"""With what an answer goes on: requests from what is known, without a server."""

from dataclasses import replace

import pytest

from paceline.client.answer_record import AnswerBuilder, AnswerRecord, Ask
from paceline.client.generation import (
    Chat,
    ContinuationMode,
    FinishReason,
    GeneratedToken,
    GenerationStarted,
    GenerationSummary,
    GenerationTiming,
    Prompt,
    PromptIds,
    RawPrompt,
    Sampling,
    SpeculationSummary,
    StopConditions,
    TokenChunk,
    TokenOrigin,
    Usage,
)
from paceline.client.options import Options, request_of
from paceline.errors import InvalidRequestError
from paceline.models.chat_message import ChatMessage

HELLO = Chat((ChatMessage("system", "Be brief."), ChatMessage("user", "hello")))
SUMMARY = GenerationSummary(
    FinishReason.LENGTH,
    Usage(10, 5, 0),
    SpeculationSummary(2, 2, 1, (1,), (1,), 0, {}),
    GenerationTiming(0.5, 0.1, 0.7, 0, 0, 0, 0, 0),
    rollback_token="end",
)


def tokens(*ids: int) -> tuple[GeneratedToken, ...]:
    return tuple(GeneratedToken(one, chr(96 + one), TokenOrigin.TARGET) for one in ids)


def answer(prompt: Prompt = HELLO, *, is_complete: bool = True, **options) -> AnswerRecord:
    """Five tokens in chunks of one, two and two, "abcde"."""
    request = request_of(prompt, Options(**options))
    builder = AnswerBuilder(
        Ask(request, prompt, Options(**options), is_complete=is_complete, limit=request.max_tokens)
    )
    builder.add(GenerationStarted("s-1", 10, "big", seed=9, position=10, rollback_token="p0"))
    builder.add(TokenChunk(10, tokens(1), "a", 1, 0, rollback_token="p1"))
    builder.add(TokenChunk(11, tokens(2, 3), "bc", 2, 1, rollback_token="p3"))
    builder.add(TokenChunk(13, tokens(4, 5), "de", 3, 1, rollback_token="p5"))
    builder.add(SUMMARY)
    return builder.record()


def again(record: AnswerRecord, to: int | str, **given) -> Ask:
    return record.again(to, Options(**given), mode=ContinuationMode.REWIND)


def reply(record: AnswerRecord, message: str, **given) -> Ask:
    return record.reply(message, Options(**given), in_new_session=False, history=None)


def test_an_answer_has_the_last_token_of_each_place() -> None:
    record = answer()
    assert (record.text, record.rollback_token) == ("abcde", "end")
    assert [tuple(point) for point in record.points] == [(0, "p0"), (1, "p1"), (3, "p3"), (5, "end")]


def test_a_reply_is_the_whole_conversation_behind_the_last_point() -> None:
    ask = reply(answer(), "more")
    assert ask.request.prompt == Chat(
        (*HELLO.messages, ChatMessage("assistant", "abcde"), ChatMessage("user", "more"))
    )
    assert ask.request.continuation is not None
    assert (ask.request.continuation.rollback_token, ask.request.continuation.mode) == ("end", "rewind")
    forked = answer().reply(
        "more", Options(), in_new_session=True, history=[{"role": "user", "content": "x"}]
    )
    assert forked.request.continuation is not None
    assert forked.request.continuation.mode is ContinuationMode.FORK
    assert forked.request.prompt == Chat((ChatMessage("user", "x"), ChatMessage("user", "more")))


def test_options_stay_until_others_are_given() -> None:
    first = answer(temperature=0.5, max_tokens=5, stop="END", regex="a+")
    same = reply(first, "more").request
    assert same.sampling == replace(first.ask.request.sampling, seed=9)
    assert (same.max_tokens, same.stop) == (5, first.ask.request.stop)
    other = reply(first, "more", temperature=0.0, seed=3, stop=[], choices=["x"]).request
    assert other.sampling == Sampling(seed=3, structure=other.sampling.structure)
    assert other.sampling.structure is not None
    assert other.sampling.structure.kind == "choice"
    # Not the default, which is not sent: the session would keep its own.
    assert other.stop.texts == ()
    assert other.stop != StopConditions()


def test_of_a_session_from_elsewhere_only_what_is_given_is_sent() -> None:
    ask = reply(answer(is_complete=False), "more")
    assert (ask.request.sampling, ask.request.stop) == (Sampling(), StopConditions())


@pytest.mark.parametrize(
    ("to", "point", "missing"),
    [(0, "p0", ()), (1, "p1", ()), (2, "p1", (2,)), (4, "p3", (4,)), (5, "end", ()), ("p3", "p3", ())],
)
def test_any_token_can_be_rewound_to(to: int | str, point: str, missing: tuple[int, ...]) -> None:
    ask = again(answer(max_tokens=8), to)
    assert ask.request.continuation is not None
    assert ask.request.continuation.rollback_token == point
    assert ask.request.prompt == (PromptIds(missing) if missing else None)
    num_kept = 3 if to == "p3" else int(to)
    assert (ask.kept.tokens, ask.kept.text) == (tokens(*range(1, num_kept + 1)), "abcde"[:num_kept])
    assert ask.request.max_tokens == 8 - num_kept
    assert all(one.num_tokens <= num_kept for one in ask.kept.points)


def test_what_is_no_place_of_the_answer_is_refused() -> None:
    for to in (-1, 6, "elsewhere"):
        with pytest.raises(InvalidRequestError):
            again(answer(), to)
    forked = AnswerBuilder(answer().again(3, Options(), mode=ContinuationMode.FORK))
    forked.add(GenerationStarted("s-2", 10, "big", 9, position=13, rollback_token="f3"))
    record = forked.record()
    assert [tuple(point) for point in record.points] == [(3, "f3")]  # the others are of the first session
    with pytest.raises(InvalidRequestError, match="from 3 on"):
        again(record, 2)


def test_what_reached_its_limit_goes_on_by_as_many_tokens() -> None:
    assert answer(max_tokens=5).go_on("", Options()).request.max_tokens == 5
    assert answer().go_on("", Options()).request.max_tokens == 5
    more = answer(max_tokens=5).go_on("", Options(max_tokens=2))
    assert (more.request.max_tokens, more.limit, more.request.prompt) == (2, 7, None)
    assert more.kept.text == "abcde"


def test_what_was_stopped_goes_on_by_what_is_left_of_its_limit() -> None:
    stopped = replace(answer(max_tokens=60), summary=None)
    more = stopped.go_on("", Options())
    assert (more.request.max_tokens, more.limit) == (55, 60)
    of_no_limit = replace(answer(), summary=None).go_on("", Options())
    assert of_no_limit.request.max_tokens is None  # the session's own is in force


@pytest.mark.parametrize("in_new_session", [False, True])
def test_how_much_more_of_an_answer_is_no_limit_of_the_next_one(in_new_session: bool) -> None:
    record = answer(max_tokens=5)
    more = record.go_on("", Options(max_tokens=2), in_new_session=in_new_session)
    assert more.request.max_tokens == 2
    assert more.options.get("max_tokens") == 5
    assert reply(replace(record, ask=more), "next").request.max_tokens == 5


def test_a_completion_goes_on_behind_a_text_and_a_conversation_does_not() -> None:
    more = answer(RawPrompt("1 ")).go_on(" fg", Options())
    assert (more.request.prompt, more.prompt) == (RawPrompt(" fg"), RawPrompt("1 abcde fg"))
    with pytest.raises(InvalidRequestError, match="reply"):
        answer().go_on("x", Options())
    with pytest.raises(InvalidRequestError, match="continue_"):
        reply(answer(RawPrompt("1 ")), "x")


def test_wrong_options_are_refused() -> None:
    with pytest.raises(TypeError, match="temprature"):
        request_of(HELLO, Options(temprature=1))  # pyright: ignore[reportCallIssue]
    with pytest.raises(InvalidRequestError, match="regex"):
        request_of(HELLO, Options(regex="a", choices=["a"]))
