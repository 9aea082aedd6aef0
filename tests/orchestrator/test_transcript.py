"""Tokens to text: whole characters, and stop texts that are never sent in part."""

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.transcript import StopTexts, Transcript, echo_chunk
from paceline.client.generation import TokenChunk, TokenOrigin
from paceline.sampling.logprobs import TokenLogprobs
from tests.orchestrator.byte_tokenizer import byte_tokenizer

TOKENIZER = byte_tokenizer()


def written(
    text: str, stop: StopTexts, sizes: list[int], position: int = 0
) -> tuple[list[TokenChunk], str | None]:
    """Write a text in rounds of so many bytes, and return what is sent and which stop text ended it."""
    transcript, chunks, ids = Transcript(TOKENIZER, stop, position), [], list(text.encode())
    round_, stop_text = 0, None
    while ids and stop_text is None:
        size = sizes[round_ % len(sizes)]
        now, ids = ids[:size], ids[size:]
        for token_id in now:
            stop_text = transcript.append(token_id, TokenOrigin.TARGET)
            if stop_text is not None:
                break
        chunks.append(transcript.take(round_, is_last=not ids or stop_text is not None))
        round_ += 1
    return [chunk for chunk in chunks if chunk is not None], stop_text


def text_of(chunks: list[TokenChunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def test_a_stop_text_across_tokens_and_rounds_ends_the_text_before_it():
    chunks, stop_text = written("one two END three", StopTexts(("END",)), [3])
    assert (text_of(chunks), stop_text) == ("one two ", "END")
    assert sum(len(chunk.tokens) for chunk in chunks) == len("one two END")


def test_an_included_stop_text_is_sent_whole():
    chunks, stop_text = written("one END.", StopTexts(("END",), is_included=True), [2])
    assert (text_of(chunks), stop_text) == ("one END", "END")


def test_what_could_become_a_stop_text_is_held_back_until_it_cannot():
    transcript = Transcript(TOKENIZER, StopTexts(("abc",)), 5)
    for token_id in b"xab":
        transcript.append(token_id, TokenOrigin.ACCEPTED)
    first = transcript.take(0, is_last=False)
    assert first is not None
    assert (first.text, first.position, first.num_accepted) == ("x", 5, 1)
    assert transcript.take(1, is_last=False) is None
    transcript.append(ord("d"), TokenOrigin.TARGET)
    rest = transcript.take(2, is_last=False)
    assert rest is not None
    assert (rest.text, rest.position, rest.round, rest.num_accepted) == ("abd", 6, 2, 2)


def test_a_stop_text_within_the_minimum_does_not_count():
    chunks, stop_text = written("a.b.c", StopTexts((".",), min_tokens=2), [1])
    assert (text_of(chunks), stop_text) == ("a.b", ".")
    assert text_of(written("..", StopTexts(("..",), min_tokens=1), [2])[0]) == ".."


def test_the_bytes_of_a_character_are_sent_together():
    chunks, _ = written("aé日", StopTexts(), [1])
    assert [chunk.text for chunk in chunks] == ["a", "", "é", "", "", "日"]


def test_an_echo_has_the_prompt_with_the_log_probabilities_of_all_but_its_first_token():
    logprobs = [TokenLogprobs(ord("b"), -0.5, (ord("b"), ord("c")), (-0.5, -1.5))]
    chunk = echo_chunk(TOKENIZER, list(b"ab"), logprobs)
    assert (chunk.text, chunk.position, chunk.num_accepted) == ("ab", 0, 0)
    first, second = chunk.tokens
    assert (first.logprob, first.origin) == (None, TokenOrigin.PROMPT)
    assert (second.logprob, [one.text for one in second.alternatives]) == (-0.5, ["b", "c"])


@given(
    st.text("ab.é", max_size=40),
    st.lists(st.text("ab.é", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.integers(0, 6),
    st.booleans(),
)
def test_the_text_is_cut_at_the_first_stop_text_however_it_comes(text, stops, sizes, min_tokens, is_included):
    chunks, stop_text = written(text, StopTexts(tuple(stops), min_tokens, is_included), sizes)
    sent, exempt = text_of(chunks), text.encode()[:min_tokens].decode(errors="ignore")
    searched = text[len(exempt) :]
    ends = [searched.find(stop) + len(stop) for stop in stops if stop in searched]
    if stop_text is None:
        assert sent == text
        assert not ends
    else:
        # Tokens are bytes, so that the stop text that ends first is the one that is noticed.
        assert stop_text in stops
        whole = sent if is_included else sent + stop_text
        assert text.startswith(whole)
        assert len(whole) == len(exempt) + min(ends)
    assert all(chunk.tokens for chunk in chunks)
    assert [chunk.position for chunk in chunks] == [
        sum(len(one.tokens) for one in chunks[:place]) for place in range(len(chunks))
    ]
