"""The choices of a whole answer, collected from events."""

from typing import Any

from orchestrator.gateway.answer import AnswerSettings, UsageSum, WholeChoice
from orchestrator.gateway.event_line import PromptEvent
from orchestrator.gateway.paceline_part import started_part, summary_part, token_part


class TakenChoices:
    """Collects events; `usage` is that of all that have ended."""

    def __init__(self, settings: AnswerSettings) -> None:
        self._settings = settings
        self._choices: dict[int, WholeChoice] = {}
        self.usage = UsageSum()

    def take(self, event: PromptEvent) -> None:
        """Take an event in."""
        index = self._settings.index(event)
        choice = self._choices.setdefault(index, WholeChoice(index))
        response = event.response
        match response.WhichOneof("event"):
            case "started":
                choice.paceline |= started_part(response.started)
            case "chunk":
                choice.texts.append(response.chunk.text)
                if self._settings.includes_tokens or self._settings.includes_logprobs:
                    choice.tokens.extend(response.chunk.tokens)
            case _:
                choice.summary = response.summary
                choice.paceline |= {
                    **summary_part(response.summary),
                    "rollback_token": response.summary.rollback_token,
                }
                if self._settings.includes_tokens:
                    choice.paceline["tokens"] = [token_part(token) for token in choice.tokens]
                self.usage.add(event.prompt, response.summary)

    @property
    def in_order(self) -> list[WholeChoice]:
        """The choices by their number."""
        return [self._choices[index] for index in sorted(self._choices)]

    def paceline(self) -> dict[str, Any]:
        """Return the object of the whole answer: that of the first choice, and what was ignored."""
        part = dict(self.in_order[0].paceline)
        if self._settings.warnings:
            part["warnings"] = list(self._settings.warnings)
        return part
