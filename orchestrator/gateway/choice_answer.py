"""What the answers of both endpoints have around their choices."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from orchestrator.gateway.answer import AnswerSettings, UsageSum, WholeChoice
from orchestrator.gateway.choices_taken import TakenChoices
from orchestrator.gateway.event_line import PromptEvent
from orchestrator.gateway.token_texts import TokenTexts


class ChoiceAnswer(ABC):
    """Makes an endpoint's objects of events: `chunks` and `last_chunks` of a stream, `whole` of all that was taken.

    `chunk_kind` and `whole_kind` are OpenAI's names of the objects of a stream and of a whole answer.
    """

    def __init__(
        self, settings: AnswerSettings, token_texts: TokenTexts, chunk_kind: str, whole_kind: str
    ) -> None:
        self._settings = settings
        self._token_texts = token_texts
        self._chunk_kind = chunk_kind
        self._whole_kind = whole_kind
        self._taken = TakenChoices(settings)
        self._usage = UsageSum()  # of a stream
        self._has_warned = not settings.warnings

    @abstractmethod
    def chunks(self, event: PromptEvent) -> Iterable[dict[str, Any]]:
        """Return the objects that a stream sends for an event."""

    def last_chunks(self) -> Iterable[dict[str, Any]]:
        """Return the objects that a stream sends when all have ended."""
        if self._settings.includes_usage:
            yield {**self._settings.head(self._chunk_kind), "choices": [], "usage": self._usage.to_json()}

    def take(self, event: PromptEvent) -> None:
        """Take an event into the whole answer."""
        self._taken.take(event)

    def whole(self) -> dict[str, Any]:
        """Return the whole answer."""
        return {
            **self._settings.head(self._whole_kind),
            "choices": [self._whole_choice(choice) for choice in self._taken.in_order],
            "usage": self._taken.usage.to_json(),
            "paceline": self._taken.paceline(),
        }

    @abstractmethod
    def _whole_choice(self, choice: WholeChoice) -> dict[str, Any]:
        """Return a choice of the whole answer."""

    def _chunk(self, choice: dict[str, Any], paceline: dict[str, Any]) -> dict[str, Any]:
        """Return the object of a stream with one choice; the first one has the warnings."""
        if not self._has_warned:
            self._has_warned = True
            paceline["warnings"] = list(self._settings.warnings)
        chunk = {**self._settings.head(self._chunk_kind), "choices": [choice], "paceline": paceline}
        if self._settings.includes_usage:
            chunk["usage"] = None
        return chunk
