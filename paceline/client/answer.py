"""What every answer tells, whoever waits for it."""

from paceline.client.answer_record import AnswerRecord, Point
from paceline.client.generation import FinishReason, GeneratedToken, GenerationSummary, Usage
from paceline.models.chat_message import ChatMessage


class AnswerFacts:
    """An answer as far as it has come; it never changes: going on with it gives another one."""

    def __init__(self, record: AnswerRecord) -> None:
        self._record = record

    def __repr__(self) -> str:
        end = self.finish_reason or "not finished"
        return f"<{type(self).__name__} {self.session_id}: {len(self.tokens)} tokens, {end}>"

    @property
    def text(self) -> str:
        """The whole answer, what it kept of another one included."""
        return self._record.text

    @property
    def tokens(self) -> tuple[GeneratedToken, ...]:
        """Its tokens, each with where it came from; what it kept of another one included."""
        return self._record.tokens

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The ids of its tokens, an end-of-generation id included."""
        return tuple(token.id for token in self._record.tokens)

    @property
    def summary(self) -> GenerationSummary | None:
        """How it ended, and what speculation did; None where it was stopped or broke off."""
        return self._record.summary

    @property
    def is_finished(self) -> bool:
        """Whether it came to its end."""
        return self._record.summary is not None

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why it ended; None where it was stopped or broke off."""
        return None if self._record.summary is None else self._record.summary.finish_reason

    @property
    def usage(self) -> Usage | None:
        """Tokens in and out of its latest generation; None where that did not finish."""
        return None if self._record.summary is None else self._record.summary.usage

    @property
    def session_id(self) -> str:
        """The session that holds it."""
        return self._record.started.session_id

    @property
    def model(self) -> str:
        """The model that answered."""
        return self._record.started.model

    @property
    def seed(self) -> int:
        """The seed that repeats it."""
        return self._record.started.seed

    @property
    def trace_id(self) -> str:
        """The trace of its latest generation, as the logs of the services name it."""
        return self._record.started.trace_id

    @property
    def messages(self) -> tuple[ChatMessage, ...]:
        """The conversation with this answer as its last message.

        Raises InvalidRequestError where it answers no conversation.
        """
        return self._record.messages

    @property
    def points(self) -> tuple[Point, ...]:
        """Where its session can be gone on with, the earliest first."""
        return self._record.points

    @property
    def rollback_token(self) -> str:
        """Names the last point of its session, for another process: `Client.resume`, `rewind` and `fork` take it.

        Who has it can read on and change the session. Raises InvalidRequestError where the session told none.
        """
        return self._record.rollback_token
