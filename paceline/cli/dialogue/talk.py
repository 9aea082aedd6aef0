"""The course of a conversation: lines in, answers out."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager, nullcontext
from pathlib import Path

from paceline.cli.dialogue import transcript_file
from paceline.cli.dialogue.branches import Branches
from paceline.cli.dialogue.command_line import COMMANDS, Command, help_text, read_command
from paceline.cli.dialogue.line_source import LineSource
from paceline.cli.dialogue.views import DialogueView
from paceline.client.async_answer import AsyncAnswer, AsyncAnswerStream
from paceline.client.errors import NotStartedError, SessionLostError
from paceline.errors import InvalidRequestError, PacelineError


class Talk:
    """One conversation with whoever writes the lines."""

    def __init__(self, branches: Branches, lines: LineSource, view: DialogueView) -> None:
        self._branches = branches
        self._lines = lines
        self._view = view
        self._is_over = False
        self._is_interactive = False

    async def run(self, *, goes_on_after_failures: bool) -> None:
        """Answer line by line until the end; raises PacelineError where it does not go on after a failure."""
        self._is_interactive = goes_on_after_failures
        if goes_on_after_failures:
            # Ctrl-C stops answers and empties lines; one that comes between the two is late, and ends nothing.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        while not self._is_over and (line := await self._lines.read()) is not None:
            if not line.strip():
                continue
            try:
                await self._take(line)
            except PacelineError as error:
                if not goes_on_after_failures:
                    raise
                self._view.fail(error)

    async def _take(self, line: str) -> None:
        match read_command(line):
            case Command(name, argument):
                await self._obey(name, argument)
            case question:
                await self._answer(question)

    async def _answer(self, question: str) -> None:
        branches = self._branches
        num_turns = len(branches.now.turns)

        def take(answer: AsyncAnswer) -> None:
            branches.take(question, answer)

        try:
            await self._show(branches.ask(question), take)
        except SessionLostError as error:
            if len(branches.now.turns) > num_turns:  # some of the answer had come
                raise
            self._tell_loss(error)
            await self._show(branches.ask_anew(question), take)

    async def _retry(self, temperature: float | None) -> None:
        branches = self._branches
        before = branches.now
        try:
            await self._show(branches.retry(temperature), branches.take_instead)
        except SessionLostError as error:
            if branches.now is not before:
                raise
            self._tell_loss(error)
            await self._show(branches.retry_anew(temperature), branches.take_instead)

    def _tell_loss(self, error: SessionLostError) -> None:
        self._view.tell("session_lost", f"{error.message}; the whole conversation is sent again")

    async def _show(self, stream: AsyncAnswerStream, take: Callable[[AsyncAnswer], None]) -> None:
        """Show an answer as it comes, and keep it, or what came of it until Ctrl-C or a failure.

        Ctrl-C ends the program where nobody is at a terminal.
        """
        reading = asyncio.create_task(self._read(stream))
        is_stopped = False
        try:
            stops = _on_interrupt(reading.cancel) if self._is_interactive else nullcontext()
            with self._view.answering(), stops:
                await asyncio.wait([reading])
            is_stopped = reading.cancelled()
            if not is_stopped:
                reading.result()
        except asyncio.CancelledError:  # Ctrl-C where it ends the program
            reading.cancel()
            await asyncio.wait([reading])
            raise
        finally:
            answer = _answer_of(stream)
            if answer is not None:
                take(answer)
            if answer is not None or is_stopped:
                self._view.end_answer(answer, is_stopped=is_stopped)

    async def _read(self, stream: AsyncAnswerStream) -> None:
        async with aclosing(stream.events()) as events:
            async for event in events:
                self._view.show(event)

    async def _obey(self, name: str, argument: str) -> None:
        branches = self._branches
        match name:
            case "rewind":
                branches.drop(_count(argument, 1))
                self._tell_turns("rewound", f"{len(branches.now.turns)} turns are left")
            case "retry":
                await self._retry(_temperature(argument))
            case "more":
                max_tokens = _count(argument, 0) or None
                await self._show(branches.more(max_tokens), branches.take_instead)
            case "fork":
                branches.fork(_count(argument, 0))
                self._tell_turns("forked", f"branch {branches.number + 1}; /branch 1 goes back")
            case "branch":
                self._branch(argument)
            case "system":
                self._system(argument)
            case "history":
                self._view.tell("history", self._history(), messages=len(branches.history))
            case "stats":
                self._view.show_statistics(branches)
            case "save":
                transcript_file.save(branches, _path(argument))
                self._view.tell("saved", f"saved to {argument}", path=argument)
            case "load":
                branches.load(*transcript_file.load(_path(argument)))
                self._tell_turns("loaded", f"{len(branches.now.turns)} turns")
            case "help":
                self._view.tell("help", help_text())
            case "quit" | "exit":
                self._is_over = True
            case _:
                names = ", ".join(f"/{one}" for one in COMMANDS)
                raise InvalidRequestError(f"there is no command /{name}; there are {names}", field="command")

    def _tell_turns(self, kind: str, sentence: str) -> None:
        self._view.tell(
            kind, sentence, num_turns=len(self._branches.now.turns), branch=self._branches.number + 1
        )

    def _branch(self, argument: str) -> None:
        branches = self._branches
        if argument:
            branches.go_to(_count(argument, 1))
        lines = [
            f"{'*' if number == branches.number else ' '} {number + 1}: {len(branch.turns)} turns"
            + (f", last: {' '.join(branch.turns[-1].question.split())[:60]}" if branch.turns else "")
            for number, branch in enumerate(branches.all)
        ]
        self._tell_turns("branches", "\n".join(lines))

    def _system(self, argument: str) -> None:
        if argument:
            self._branches.set_system(None if argument == "-" else argument)
        text = self._branches.now.system
        self._view.tell("system", "no system message" if text is None else f"system: {text}", system=text)

    def _history(self) -> str:
        return (
            "\n\n".join(f"{one.role}: {one.content}" for one in self._branches.history)
            or "nothing was said yet"
        )


def _answer_of(stream: AsyncAnswerStream) -> AsyncAnswer | None:
    """Return what came of an answer; None where no token did."""
    try:
        answer = stream.answer
    except NotStartedError:
        return None
    return answer if len(answer.tokens) > len(stream.ask.kept.tokens) or answer.is_finished else None


@contextmanager
def _on_interrupt(stop: Callable[[], object]) -> Iterator[None]:
    """Have Ctrl-C stop an answer instead of the program."""
    before = signal.getsignal(signal.SIGINT)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop)
    try:
        yield
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)


def _count(argument: str, default: int) -> int:
    if not argument:
        return default
    if not argument.isdecimal():
        raise InvalidRequestError(f"{argument!r} is no number", field="argument")
    return int(argument)


def _temperature(argument: str) -> float | None:
    try:
        return float(argument) if argument else None
    except ValueError:
        raise InvalidRequestError(f"{argument!r} is no temperature", field="temperature") from None


def _path(argument: str) -> Path:
    if not argument:
        raise InvalidRequestError("name the file", field="path")
    return Path(argument).expanduser()
