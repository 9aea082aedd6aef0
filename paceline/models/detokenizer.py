"""Token ids to text as they arrive."""

import codecs
from collections.abc import Callable, Iterable


class Detokenizer:
    """Turns the ids of one stream into text piece by piece, never splitting a character.

    Bytes that do not complete a character yet are held back until the next push; `flush` gives what is left,
    as U+FFFD. All pieces joined equal `Tokenizer.decode` of all ids, however they were split.
    """

    def __init__(self, bytes_of: Callable[[int], bytes]) -> None:
        self._bytes_of = bytes_of
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_ids: Iterable[int]) -> str:
        """Take the next ids and return the text that they complete, which may be empty."""
        return self._decoder.decode(b"".join(map(self._bytes_of, token_ids)))

    def flush(self) -> str:
        """End the stream and return the text of an incomplete last character, if any; then start afresh."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return text
