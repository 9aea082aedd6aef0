"""What a client has of one generation, checked token by token."""

from dataclasses import dataclass, field

from paceline.v1 import orchestrator_service_pb2 as pb
from tests.chaos.job import Answer, Job


class WrongStreamError(Exception):
    """The stream is not what the undisturbed run's was."""


@dataclass
class Transcript:
    """Tokens in order, none missing, none twice; compared with the expected answer as they come, where there is one.

    Attributes:
        token: The latest rollback token; empty while there is none.
        is_finished: Whether the summary has come.
    """

    job: Job
    token: str = ""
    num_prompt_tokens: int = 0
    ids: list[int] = field(default_factory=list[int])
    logprobs: list[float | None] = field(default_factory=list[float | None])
    texts: list[str] = field(default_factory=list[str])
    session_ids: set[str] = field(default_factory=set[str])
    summary: pb.GenerationSummary | None = None

    @property
    def next_position(self) -> int:
        """Absolute position of the next token."""
        return self.num_prompt_tokens + len(self.ids)

    @property
    def is_finished(self) -> bool:
        return self.summary is not None

    def begin_again(self) -> None:
        """Forget what came: the session is lost."""
        self.token = ""
        self.num_prompt_tokens = 0
        self.ids.clear()
        self.logprobs.clear()
        self.texts.clear()

    def add(self, message: pb.GenerateResponse) -> None:
        """Take the next event; raises WrongStreamError."""
        match message.WhichOneof("event"):
            case "started":
                self._start(message.started)
            case "chunk":
                self._add_chunk(message.chunk)
            case "summary":
                self._finish(message.summary)
            case _:
                raise self._wrong("an event without content")

    def answer(self) -> Answer:
        """Return the finished generation."""
        assert self.summary is not None
        return Answer(
            tuple(self.ids),
            "".join(self.texts),
            self.summary.finish_reason,
            self.summary.stop_text,
            tuple(self.logprobs),
        )

    def _start(self, started: pb.GenerationStarted) -> None:
        if self.ids and started.position != self.next_position:
            raise self._wrong(f"resumed at position {started.position} instead of {self.next_position}")
        if self.num_prompt_tokens and started.num_prompt_tokens != self.num_prompt_tokens:
            raise self._wrong(f"the prompt has {started.num_prompt_tokens} tokens now")
        self.num_prompt_tokens = started.num_prompt_tokens
        self.session_ids.add(started.session_id)
        self.token = started.rollback_token or self.token

    def _add_chunk(self, chunk: pb.TokenChunk) -> None:
        if chunk.position != self.next_position:
            raise self._wrong(f"a chunk at position {chunk.position} instead of {self.next_position}")
        if not chunk.tokens:
            raise self._wrong("a chunk without tokens")
        for token in chunk.tokens:
            self._check_logprob(token)
            self.ids.append(token.id)
            self.logprobs.append(token.logprob if token.HasField("logprob") else None)
        self.texts.append(chunk.text)
        self.token = chunk.rollback_token
        self._compare()

    def _finish(self, summary: pb.GenerationSummary) -> None:
        if self.is_finished:
            raise self._wrong("a second summary")
        self.summary = summary
        if summary.usage.num_completion_tokens != len(self.ids):
            raise self._wrong(f"the summary counts {summary.usage.num_completion_tokens} tokens")
        expected = self.job.answer
        if expected is None:
            return
        actual = self.answer()
        for name in ("ids", "text", "finish_reason", "stop_text"):
            if getattr(actual, name) != getattr(expected, name):
                raise self._wrong(
                    f"{name} is {getattr(actual, name)!r} instead of {getattr(expected, name)!r}"
                )

    def _compare(self) -> None:
        expected = self.job.answer
        if expected is None:
            return
        if tuple(self.ids) != expected.ids[: len(self.ids)]:
            raise self._wrong(f"ids {self.ids} instead of {list(expected.ids)}")

    def _check_logprob(self, token: pb.GeneratedToken) -> None:
        """A token that the target has just chosen has its log-probability; one that is sent again has none."""
        expected = self.job.answer
        if expected is None or token.origin == pb.TOKEN_ORIGIN_REPLAYED or len(self.ids) >= len(expected.ids):
            return
        mine = token.logprob if token.HasField("logprob") else None
        if mine != expected.logprobs[len(self.ids)]:
            raise self._wrong(f"a log-probability is {mine} instead of {expected.logprobs[len(self.ids)]}")

    def _wrong(self, what: str) -> WrongStreamError:
        return WrongStreamError(
            f"{self.job.name}, sessions {sorted(self.session_ids)}, after {len(self.ids)} tokens: {what}"
        )


def copy_of(transcript: Transcript) -> Transcript:
    """Return what has come so far, to be gone on with separately."""
    return Transcript(
        transcript.job,
        transcript.token,
        transcript.num_prompt_tokens,
        list(transcript.ids),
        list(transcript.logprobs),
        list(transcript.texts),
        set(transcript.session_ids),
    )
