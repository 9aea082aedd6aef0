"""A conversation as it is shown: text for people, lines of JSON for programs."""

import json
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from paceline.cli.dialogue.branches import Branches
from paceline.cli.generation_view import EVENT_NAMES, LiveStatistics
from paceline.cli.status_row import DIM, RESET, StatusRow
from paceline.cli.token_painter import Marking, TokenPainter, printable
from paceline.client.async_answer import AsyncAnswer
from paceline.client.generation import GenerationEvent, GenerationSummary, TokenChunk
from paceline.client.served_model import ServedModels
from paceline.errors import PacelineError


class DialogueView(ABC):
    """Shows a conversation."""

    @abstractmethod
    def greet(self, models: ServedModels) -> None:
        """Show who answers."""

    @abstractmethod
    @contextmanager
    def answering(self) -> Iterator[None]:
        """Be ready for the events of one answer inside a `with`."""

    @abstractmethod
    def show(self, event: GenerationEvent) -> None:
        """Show an event of an answer."""

    @abstractmethod
    def end_answer(self, answer: AsyncAnswer | None, *, is_stopped: bool) -> None:
        """Show that an answer has ended; None where nothing of it came."""

    @abstractmethod
    def tell(self, kind: str, sentence: str, **facts: object) -> None:
        """Show what a command did."""

    @abstractmethod
    def fail(self, error: PacelineError) -> None:
        """Show that something did not work; the conversation goes on."""

    @abstractmethod
    def show_statistics(self, branches: Branches) -> None:
        """Show what each answer cost."""


class JsonDialogueView(DialogueView):
    """One JSON object a line, what it is in `event`."""

    def greet(self, models: ServedModels) -> None:
        """Print which models are served."""
        self._print("connected", models=asdict(models))

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Do nothing."""
        yield

    def show(self, event: GenerationEvent) -> None:
        """Print the event, as `paceline generate --json` does."""
        self._print(EVENT_NAMES[type(event)], **asdict(event))

    def end_answer(self, answer: AsyncAnswer | None, *, is_stopped: bool) -> None:
        """Print the whole text, or what came of it."""
        self._print("answer", text="" if answer is None else answer.text, is_stopped=is_stopped)

    def tell(self, kind: str, sentence: str, **facts: object) -> None:
        """Print what was done."""
        self._print(kind, message=sentence, **facts)

    def fail(self, error: PacelineError) -> None:
        """Print the error."""
        self._print("error", reason=getattr(error, "call_reason", error.reason), message=error.message)

    def show_statistics(self, branches: Branches) -> None:
        """Print the summary of each answer."""
        answers = [turn.answer for turn in branches.now.turns]
        summaries = [None if one is None or one.summary is None else asdict(one.summary) for one in answers]
        self._print("stats", turns=summaries)

    def _print(self, kind: str, **facts: object) -> None:
        print(json.dumps({"event": kind, **facts}, ensure_ascii=False), flush=True)


class TextDialogueView(DialogueView):
    """Answers on stdout, everything else on stderr."""

    def __init__(self, marking: Marking, *, has_statistics: bool) -> None:
        self._painter = TokenPainter(marking, is_terminal=sys.stdout.isatty())
        self._has_statistics = has_statistics
        self._is_terminal = sys.stdout.isatty() and sys.stderr.isatty()
        self._row = StatusRow(is_shown=False)
        self._statistics = LiveStatistics()

    def greet(self, models: ServedModels) -> None:
        """Say who answers, and how to get on."""
        if not self._is_terminal:
            return
        draft = f" with {models.draft.name} as draft" if models.draft is not None else ""
        self._say(f"{models.target.name}{draft}. /help lists commands, Ctrl-D leaves.")
        if self._painter.legend is not None:
            print(self._painter.legend, file=sys.stderr)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Keep a row of statistics below the text while it comes."""
        self._statistics = LiveStatistics()
        with StatusRow(is_shown=self._is_terminal and self._has_statistics) as self._row:
            yield

    def show(self, event: GenerationEvent) -> None:
        """Show the tokens."""
        if isinstance(event, TokenChunk):
            self._statistics.add(event)
            sys.stdout.write(self._painter.paint(event.tokens))
            sys.stdout.flush()
            self._row.update(self._statistics.line())

    def end_answer(self, answer: AsyncAnswer | None, *, is_stopped: bool) -> None:
        """End the line, and say what the answer cost."""
        print(flush=True)
        if is_stopped:
            kept = "nothing came" if answer is None else f"{len(answer.tokens)} tokens kept, /more goes on"
            self._say(f"stopped: {kept}")
        elif self._has_statistics and answer is not None and answer.summary is not None:
            self._say(describe_answer(answer.summary))

    def tell(self, kind: str, sentence: str, **facts: object) -> None:
        """Say what was done."""
        self._say(sentence)

    def fail(self, error: PacelineError) -> None:
        """Say why not."""
        red = "\x1b[31m" if self._is_terminal else ""
        message = self._printable(error.message)
        print(f"{red}error: {message}{RESET if red else ''}", file=sys.stderr, flush=True)

    def show_statistics(self, branches: Branches) -> None:
        """Show a line for each answer."""
        for number, turn in enumerate(branches.now.turns, start=1):
            width = max(shutil.get_terminal_size().columns - 1, 20)
            question = self._printable(" ".join(turn.question.split()))
            print(f"{number}  {question}"[:width], file=sys.stderr)
            summary = None if turn.answer is None else turn.answer.summary
            self._say("   " + (describe_answer(summary) if summary is not None else "not finished here"))
        if not branches.now.turns:
            self._say("nothing was said yet")

    def _say(self, text: str) -> None:
        text = self._printable(text)
        print(f"{DIM}{text}{RESET}" if self._is_terminal else text, file=sys.stderr, flush=True)

    def _printable(self, text: str) -> str:
        return printable(text) if sys.stderr.isatty() else text


def describe_answer(summary: GenerationSummary) -> str:
    """Return what an answer cost, as one line.

    Example: 96 tokens, 16.8 tok/s after 0.42 s; 65 of 124 draft tokens accepted (52%); prompt 340 tokens, 310 cached
    """
    usage, timing, speculation = summary.usage, summary.timing, summary.speculation
    speed = f"{usage.num_completion_tokens} tokens"
    if timing.time_per_output_token_seconds:
        speed += f", {1 / timing.time_per_output_token_seconds:.1f} tok/s"
    parts = [f"{speed} after {timing.time_to_first_token_seconds:.2f} s"]
    if speculation.num_draft_tokens:
        share = speculation.num_accepted_tokens / speculation.num_draft_tokens
        parts.append(
            f"{speculation.num_accepted_tokens} of {speculation.num_draft_tokens} draft tokens accepted ({share:.0%})"
        )
    parts.append(f"prompt {usage.num_prompt_tokens} tokens, {usage.num_cached_prompt_tokens} cached")
    if summary.recovery.num_failovers:
        moves = sum(summary.recovery.num_failovers.values())
        parts.append(f"moved to another target {moves} times")
    return "; ".join(parts)
