"""How tokens are shown: their bytes, and a text even where those are a part of a character."""

from collections.abc import Iterable
from typing import Any

from paceline.models.tokenizer import Tokenizer
from paceline.v1 import orchestrator_service_pb2 as messages

# What OpenAI writes for a token that is out of the question; JSON has no infinity.
_LEAST_LOGPROB = -9999.0


class TokenTexts:
    """The tokens of a vocabulary."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def text_of(self, token_id: int) -> str:
        r"""Return a token's text: control tokens by name, bytes that are no text as OpenAI has them, `\xe2\x80`."""
        if token_id in self._tokenizer.control_ids:
            return self._tokenizer.text_of(token_id)
        return self._tokenizer.bytes_of(token_id).decode("utf-8", errors="backslashreplace")

    def shown(self, tokens: Iterable[messages.GeneratedToken]) -> list[messages.GeneratedToken]:
        """Return the tokens that a text consists of: all but those that end it, which have none."""
        return [
            token
            for token in tokens
            if token.origin == messages.TOKEN_ORIGIN_PROMPT or token.id not in self._tokenizer.control_ids
        ]

    def chat_row(self, token: messages.GeneratedToken) -> dict[str, Any]:
        """Return a token of a chat's `logprobs.content`."""
        row = self._row(token.id, token.logprob)
        row["top_logprobs"] = [self._row(one.id, one.logprob) for one in token.alternatives]
        return row

    def _row(self, token_id: int, logprob: float) -> dict[str, Any]:
        return {
            "token": self.text_of(token_id),
            "logprob": json_logprob(logprob),
            "bytes": list(self._tokenizer.bytes_of(token_id)),
        }


def json_logprob(logprob: float) -> float:
    """Return a log-probability that JSON can hold."""
    return max(logprob, _LEAST_LOGPROB)
