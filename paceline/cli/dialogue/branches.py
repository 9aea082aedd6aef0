"""A conversation with its branches, and the requests with which each goes on."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from paceline.client.async_answer import AsyncAnswer, AsyncAnswerStream
from paceline.client.async_client import AsyncClient
from paceline.client.options import Options, merged, without_limit
from paceline.errors import InvalidRequestError
from paceline.models.chat_message import ChatMessage
from paceline.sampling.parameters import MAX_SEED


@dataclass(frozen=True)
class Turn:
    """A message and its answer; `answer` is None where the text alone is known, from a file."""

    question: str
    text: str
    answer: AsyncAnswer | None = None

    @property
    def messages(self) -> tuple[ChatMessage, ChatMessage]:
        """Both as the conversation has them."""
        return ChatMessage("user", self.question), ChatMessage("assistant", self.text)


@dataclass(frozen=True)
class Branch:
    """One line of a conversation.

    Attributes:
        turns: Its turns, the oldest first.
        session_ids: The sessions that are its own: it may rewind them. Others it forks, because they are still the
            sessions of the branch that it comes from.
        rollback_token: Where the session of a conversation from a file stood, empty where there is none.
        system: Its system message.
    """

    turns: tuple[Turn, ...] = ()
    session_ids: frozenset[str] = frozenset()
    rollback_token: str = ""
    system: str | None = None

    @property
    def last(self) -> AsyncAnswer | None:
        """The last answer, if its session is known."""
        return self.turns[-1].answer if self.turns else None


class Branches:
    """A conversation, one branch of which is the present one."""

    def __init__(self, client: AsyncClient, options: Options, system: str | None) -> None:
        self.options = options
        self.number = 0
        self.all: list[Branch] = [Branch(system=system)]
        self._client = client

    @property
    def now(self) -> Branch:
        """The present branch."""
        return self.all[self.number]

    @property
    def history(self) -> list[ChatMessage]:
        """The conversation of the present branch, the system message first."""
        system = [ChatMessage("system", self.now.system)] if self.now.system else []
        return [*system, *(message for turn in self.now.turns for message in turn.messages)]

    def ask(self, question: str) -> AsyncAnswerStream:
        """Return the answer to a message, in the session that holds what was said until now."""
        last = self.now.last
        if last is not None:
            is_new = not self._is_own(last)
            return last.stream_reply(question, in_new_session=is_new, history=self.history, **self.options)
        if self.now.rollback_token:
            # A fork: the session may be in use elsewhere, by the conversation that was saved.
            return self._client.fork(self.now.rollback_token, self._with(question), **self.options)
        return self.ask_anew(question)

    def ask_anew(self, question: str) -> AsyncAnswerStream:
        """Return the answer to a message in a new session, which computes the whole conversation."""
        return self._client.stream(self._with(question), **self.options)

    def retry(self, temperature: float | None) -> AsyncAnswerStream:
        """Return another answer to the last message; raises InvalidRequestError where it could only be the same."""
        options = self._options_of_another(temperature)
        answer = self._last_turn().answer
        if answer is None:
            return self._retry_anew(options)
        if self._is_own(answer):
            return answer.stream_rewind(0, **options)
        return answer.stream_fork(0, **options)

    def retry_anew(self, temperature: float | None) -> AsyncAnswerStream:
        """Return another answer to the last message in a new session."""
        return self._retry_anew(self._options_of_another(temperature))

    def more(self, max_tokens: int | None) -> AsyncAnswerStream:
        """Return more of the last answer; raises InvalidRequestError where its session is not known."""
        answer = self._last_turn().answer
        if answer is None:
            raise InvalidRequestError("the last answer's session is not known: ask on", field="answer")
        limit = Options() if max_tokens is None else Options(max_tokens=max_tokens)
        return answer.stream_continue(
            in_new_session=not self._is_own(answer), **merged(without_limit(self.options), limit)
        )

    def take(self, question: str, answer: AsyncAnswer) -> None:
        """Add a turn."""
        turns = (*self.now.turns, Turn(question, answer.text, answer))
        session_ids = self.now.session_ids | {answer.session_id}
        self._become(replace(self.now, turns=turns, session_ids=session_ids, rollback_token=""))

    def take_instead(self, answer: AsyncAnswer) -> None:
        """Put an answer in the place of the last one."""
        question = self._last_turn().question
        self._become(replace(self.now, turns=self.now.turns[:-1]))
        self.take(question, answer)

    def drop(self, num_turns: int) -> None:
        """Go back to before the last turns; raises InvalidRequestError where there are not as many."""
        self._check(num_turns)
        turns = self.now.turns[: len(self.now.turns) - num_turns]
        self._become(replace(self.now, turns=turns, rollback_token=""))

    def fork(self, num_dropped: int) -> None:
        """Begin a branch that has the turns of this one, without the last ones; raises InvalidRequestError."""
        self._check(num_dropped)
        turns = self.now.turns[: len(self.now.turns) - num_dropped]
        self._open(Branch(turns, system=self.now.system))

    def go_to(self, number: int) -> None:
        """Make a branch the present one; raises InvalidRequestError where there is none of this number, from 1."""
        if not 1 <= number <= len(self.all):
            raise InvalidRequestError(f"there are branches 1 to {len(self.all)}", field="branch")
        self.number = number - 1

    def load(self, system: str | None, turns: Sequence[Turn], rollback_token: str) -> None:
        """Go on with a conversation from elsewhere, as a branch of its own where there is one already."""
        loaded = Branch(tuple(turns), rollback_token=rollback_token, system=system)
        if self.now.turns:
            self._open(loaded)
        else:
            self._become(loaded)

    def set_system(self, text: str | None) -> None:
        """Give the present branch another system message, or none."""
        self._become(replace(self.now, system=text))

    def _is_own(self, answer: AsyncAnswer) -> bool:
        return answer.session_id in self.now.session_ids

    def _options_of_another(self, temperature: float | None) -> Options:
        options = merged(self.options, Options(seed=random.randint(0, MAX_SEED)))  # noqa: S311, it only has to differ
        if temperature is not None:
            options = merged(options, Options(temperature=temperature))
        if not options.get("temperature"):
            raise InvalidRequestError(
                "at temperature 0 the answer is always the same: give one, for example /retry 0.7",
                field="temperature",
            )
        return options

    def _retry_anew(self, options: Options) -> AsyncAnswerStream:
        self._check(1)
        return self._client.stream(self.history[:-1], **options)

    def _with(self, question: str) -> list[ChatMessage]:
        return [*self.history, ChatMessage("user", question)]

    def _open(self, branch: Branch) -> None:
        self.all.append(branch)
        self.number = len(self.all) - 1

    def _become(self, branch: Branch) -> None:
        self.all[self.number] = branch

    def _last_turn(self) -> Turn:
        self._check(1)
        return self.now.turns[-1]

    def _check(self, num_turns: int) -> None:
        if num_turns > len(self.now.turns):
            raise InvalidRequestError(
                f"there are {len(self.now.turns)} turns" if self.now.turns else "nothing was said yet",
                field="turns",
            )
