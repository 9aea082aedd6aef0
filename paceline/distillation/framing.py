"""What stands around a text: how a target is brought to write a question, and then the answer to it."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Protocol

from paceline.errors import ConfigError
from paceline.models.chat_message import ChatMessage
from paceline.models.tokenizer import Tokenizer

# They begin differently, so that what their chats have in common is the opening of a user's turn.
_UNLIKE_MESSAGES = ("What", "7", "日")


class Framing(Protocol):
    """Turns words into ids that the target goes on with."""

    def question_prompt(self, first_words: str) -> list[int]:
        """Return the ids behind which the target writes the rest of a question."""
        ...

    def question_text(self, first_words: str, written_ids: Sequence[int]) -> str | None:
        """Return the question that was written, None where it is of no use."""
        ...

    def answer_prompt(self, question: str) -> list[int]:
        """Return the ids behind which the target answers, as a served chat has them."""
        ...


class ChatFraming:
    """Questions are user turns of the model's chat template (Magpie: Xu et al., arXiv 2406.08464)."""

    _MIN_CHARACTERS = 8

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._end_ids = frozenset(tokenizer.eos_ids)
        chats = [
            tokenizer.encode_chat([ChatMessage("user", text)], add_generation_prompt=False)
            for text in _UNLIKE_MESSAGES
        ]
        agreeing = takewhile(lambda ids: len(set(ids)) == 1, zip(*chats, strict=False))
        self._opening = [ids[0] for ids in agreeing]

    def question_prompt(self, first_words: str) -> list[int]:
        """Return the opening of a user's turn and the first words in it."""
        return self._opening + self._tokenizer.encode(first_words, parse_special=False)

    def question_text(self, first_words: str, written_ids: Sequence[int]) -> str | None:
        """Return the turn; None where it has not ended, or hardly says anything."""
        if not written_ids or written_ids[-1] not in self._end_ids:
            return None
        text = (first_words + self._tokenizer.decode(written_ids)).strip()
        return text if len(text) >= self._MIN_CHARACTERS else None

    def answer_prompt(self, question: str) -> list[int]:
        """Return a chat of one turn, up to where the assistant's answer starts."""
        return self._tokenizer.encode_chat([ChatMessage("user", question)])


class RawFraming:
    """For models without a chat template: a text begins somewhere, and goes on."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        starts = [tokenizer.bos_id, *tokenizer.eos_ids]
        self._start = next((token_id for token_id in starts if token_id is not None), None)

    def question_prompt(self, first_words: str) -> list[int]:
        """Return the start of a text and its first words; raises ConfigError where there is nothing to begin with."""
        ids = [] if self._start is None else [self._start]
        ids += self._tokenizer.encode(first_words, parse_special=False)
        if not ids:
            message = (
                "this model has neither a chat template nor a start token: give --prompts and --only-prompts"
            )
            raise ConfigError(message, setting="prompts")
        return ids

    def question_text(self, first_words: str, written_ids: Sequence[int]) -> str | None:
        """Return the beginning of a text."""
        return (first_words + self._tokenizer.decode(written_ids)) or None

    def answer_prompt(self, question: str) -> list[int]:
        """Return the raw prompt."""
        return self._tokenizer.encode_prompt(question, parse_special=False)


def framing_of(tokenizer: Tokenizer) -> Framing:
    """Return how a model is asked."""
    return RawFraming(tokenizer) if tokenizer.chat_template_source is None else ChatFraming(tokenizer)
