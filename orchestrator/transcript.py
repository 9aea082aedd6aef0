"""The text of a generation as it grows, and the stop texts in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from paceline.client.generation import GeneratedToken, TokenAlternative, TokenChunk, TokenOrigin
from paceline.models.detokenizer import Detokenizer
from paceline.models.tokenizer import Tokenizer
from paceline.sampling.logprobs import TokenLogprobs


@dataclass(frozen=True)
class StopTexts:
    """Texts that end a generation, looked for after the first `min_tokens` tokens; `is_included` sends them too."""

    texts: tuple[str, ...] = ()
    min_tokens: int = 0
    is_included: bool = False

    def first_in(self, text: str) -> tuple[int, str] | None:
        """Return where the first of them begins, and which it is; the earlier in the list of those that begin there."""
        found = [(start, place) for place, stop in enumerate(self.texts) if (start := text.find(stop)) >= 0]
        return (min(found)[0], self.texts[min(found)[1]]) if found else None

    def num_undecided(self, text: str) -> int:
        """Return how many characters at the end could still become a stop text.

        Example: with the stop text "END", the last two characters of "the EN".
        """
        longest = min(len(text), max(map(len, self.texts), default=1) - 1)
        return next(
            (
                size
                for size in range(longest, 0, -1)
                if any(one.startswith(text[-size:]) for one in self.texts)
            ),
            0,
        )


class Transcript:
    """Turns ids into tokens with text and tokens into chunks whose text is always whole characters.

    A token is held back while its text may belong to a stop text; when one is complete, the text ends before it (or
    after it, where it is included) and the tokens that spell it have the text that is left to them, which may be none.
    """

    def __init__(self, tokenizer: Tokenizer, stop: StopTexts, position: int) -> None:
        self._tokenizer = tokenizer
        self._detokenizer: Detokenizer = tokenizer.detokenizer()
        self._stop = stop
        self._position = position  # of the first token that is held back
        self._held: list[GeneratedToken] = []
        self._num_appended = 0
        self._has_stopped = False

    def append(self, token_id: int, origin: TokenOrigin, logprobs: TokenLogprobs | None = None) -> str | None:
        """Add an id and return the stop text that it completes, if any: then nothing may follow it."""
        text = self._detokenizer.push((token_id,))
        self._held.append(token(self._tokenizer, token_id, text, origin, logprobs))
        self._num_appended += 1
        if not self._stop.texts or self._num_appended <= self._stop.min_tokens:
            return None
        num_exempt = self._num_exempt
        found = self._stop.first_in("".join(one.text for one in self._held[num_exempt:]))
        if found is None:
            return None
        start, stop_text = found
        self._has_stopped = True
        self._cut_text(num_exempt, start + len(stop_text) if self._stop.is_included else start)
        return stop_text

    def take(self, round_: int, *, is_last: bool) -> TokenChunk | None:
        """Return the tokens that may be sent, None where there are none; the last ones have all that was held back."""
        if is_last and not self._has_stopped and (rest := self._detokenizer.flush()):
            self._held[-1] = _with_text(self._held[-1], self._held[-1].text + rest)
        num_ready = len(self._held) if is_last else self._num_ready()
        if num_ready == 0:
            return None
        ready, self._held = self._held[:num_ready], self._held[num_ready:]
        position = self._position
        self._position += num_ready
        return chunk_of(position, ready, round_)

    def _num_ready(self) -> int:
        """How many of the held tokens can no longer belong to a stop text."""
        if not self._stop.texts:
            return len(self._held)
        num_exempt = self._num_exempt
        texts = [one.text for one in self._held[num_exempt:]]
        num_sure = sum(map(len, texts)) - self._stop.num_undecided("".join(texts))
        num_ready = num_exempt
        for text in texts:
            num_sure -= len(text)
            if num_sure < 0:
                break
            num_ready += 1
        return num_ready

    @property
    def _num_exempt(self) -> int:
        """How many of the held tokens are among the first, in which stop texts do not count."""
        num_sent = self._num_appended - len(self._held)
        return max(0, min(len(self._held), self._stop.min_tokens - num_sent))

    def _cut_text(self, first: int, num_characters: int) -> None:
        """Leave so many characters to the held tokens from `first` on."""
        for place, one in enumerate(self._held[first:], start=first):
            kept = one.text[:num_characters]
            num_characters -= len(kept)
            self._held[place] = _with_text(one, kept)


def echo_chunk(
    tokenizer: Tokenizer, prompt_ids: Sequence[int], logprobs: Sequence[TokenLogprobs]
) -> TokenChunk:
    """Return a prompt as a chunk; `logprobs` are those of its ids from the second on, or empty."""
    detokenizer = tokenizer.detokenizer()
    texts = [detokenizer.push((token_id,)) for token_id in prompt_ids]
    texts[-1] += detokenizer.flush()
    of_ids: Iterator[TokenLogprobs | None] = iter([None, *logprobs])
    tokens = [
        token(tokenizer, token_id, text, TokenOrigin.PROMPT, next(of_ids, None))
        for token_id, text in zip(prompt_ids, texts, strict=True)
    ]
    return chunk_of(0, tokens, 0)


def chunk_of(position: int, tokens: Sequence[GeneratedToken], round_: int) -> TokenChunk:
    """Return tokens as a chunk."""
    num_accepted = sum(one.origin is TokenOrigin.ACCEPTED for one in tokens)
    return TokenChunk(position, tuple(tokens), "".join(one.text for one in tokens), round_, num_accepted)


def without_sent(chunk: TokenChunk, position: int) -> TokenChunk | None:
    """Return a chunk without its tokens before a position, which the client has; None where nothing is left."""
    num_sent = max(0, position - chunk.position)
    if num_sent == 0:
        return chunk
    tokens = chunk.tokens[num_sent:]
    return chunk_of(chunk.position + num_sent, tokens, chunk.round) if tokens else None


def token(
    tokenizer: Tokenizer, token_id: int, text: str, origin: TokenOrigin, logprobs: TokenLogprobs | None
) -> GeneratedToken:
    """Return a token as the client gets it."""
    if logprobs is None:
        return GeneratedToken(token_id, text, origin)
    alternatives = tuple(
        TokenAlternative(one, tokenizer.text_of(one), logprob)
        for one, logprob in zip(logprobs.top_ids, logprobs.top_logprobs, strict=True)
    )
    return GeneratedToken(token_id, text, origin, logprobs.logprob, alternatives)


def _with_text(one: GeneratedToken, text: str) -> GeneratedToken:
    return GeneratedToken(one.id, text, one.origin, one.logprob, one.alternatives)
