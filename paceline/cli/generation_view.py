"""A generation as it is shown: JSON lines for programs, text and statistics for people."""

import json
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict
from time import monotonic

from paceline.cli.status_row import StatusRow
from paceline.cli.token_painter import Marking, TokenPainter
from paceline.client.generation import (
    DraftLengthChoice,
    GenerationEvent,
    GenerationStarted,
    GenerationSummary,
    RecoverySummary,
    SpeculationSummary,
    TokenChunk,
)

EVENT_NAMES = {GenerationStarted: "started", TokenChunk: "chunk", GenerationSummary: "summary"}


class GenerationView(ABC):
    """Shows the events of one generation."""

    @abstractmethod
    def show(self, event: GenerationEvent) -> None:
        """Show the next event."""


class JsonView(GenerationView):
    """One JSON object a line, the kind of event in `event`."""

    def show(self, event: GenerationEvent) -> None:
        """Print the event."""
        print(
            json.dumps({"event": EVENT_NAMES[type(event)], **asdict(event)}, ensure_ascii=False), flush=True
        )


class TextView(GenerationView):
    """Text on stdout; statistics in `row` while it comes and, where they are wanted, on stderr at the end."""

    def __init__(
        self, marking: Marking, row: StatusRow, *, has_statistics: bool, is_sampled: bool = False
    ) -> None:
        self._is_sampled = is_sampled
        self._seed = 0
        self._painter = TokenPainter(marking, is_terminal=sys.stdout.isatty())
        self._row = row
        self._has_statistics = has_statistics
        self._statistics = LiveStatistics()

    def show(self, event: GenerationEvent) -> None:
        """Show the event."""
        match event:
            case GenerationStarted():
                self._seed = event.seed
                self._show_legend()
            case TokenChunk():
                self._statistics.add(event)
                sys.stdout.write(self._painter.paint(event.tokens))
                sys.stdout.flush()
                self._row.update(self._statistics.line())
            case GenerationSummary():
                self._show_end(event)

    def _show_legend(self) -> None:
        if self._painter.legend is not None:
            print(self._painter.legend, file=sys.stderr)

    def _show_end(self, summary: GenerationSummary) -> None:
        print(flush=True)
        if self._has_statistics:
            seed = f"; seed {self._seed}" if self._is_sampled else ""
            print(f"\n{describe_summary(summary)}{seed}", file=sys.stderr)


class LiveStatistics:
    """Tokens a second and acceptance so far; its clock starts with the first chunk."""

    def __init__(self) -> None:
        self._first_at: float | None = None
        self._num_first = 0
        self._num_tokens = 0
        self._num_accepted = 0

    def add(self, chunk: TokenChunk) -> None:
        """Count a chunk."""
        if self._first_at is None:
            self._first_at, self._num_first = monotonic(), len(chunk.tokens)
        self._num_tokens += len(chunk.tokens)
        self._num_accepted += chunk.num_accepted

    def line(self) -> str:
        """Return the statistics as one line."""
        seconds = monotonic() - self._first_at if self._first_at is not None else 0.0
        rate = (self._num_tokens - self._num_first) / seconds if seconds > 0.05 else 0.0
        share = self._num_accepted / self._num_tokens if self._num_tokens else 0.0
        return f"{self._num_tokens} tokens  {rate:.1f} tok/s  {share:.0%} of them from the draft"


def describe_summary(summary: GenerationSummary) -> str:
    """Return what a generation came to, as one line.

    Example: 96 tokens in 6.1 s, 16.8 tok/s after a first token at 0.42 s; 31 rounds, 65 of 124 draft tokens
    accepted (52%); ended by length
    """
    usage, timing = summary.usage, summary.timing
    speed = f"{usage.num_completion_tokens} tokens in {timing.total_seconds:.1f} s"
    if timing.time_per_output_token_seconds and summary.speculation.num_rounds:
        speed += f", {1 / timing.time_per_output_token_seconds:.1f} tok/s"
    speed += f" after a first token at {timing.time_to_first_token_seconds:.2f} s"
    parts = (speed, _describe_rounds(summary.speculation), *_describe_recovery(summary.recovery))
    return "; ".join((*parts, f"ended by {summary.finish_reason}"))


def _describe_recovery(recovery: RecoverySummary) -> Iterator[str]:
    """Yield what a disturbed generation lost and made good; nothing for an undisturbed one."""
    if recovery.num_failovers:
        seconds = recovery.detection_seconds + recovery.takeover_seconds + recovery.rebuild_seconds
        moves = ", ".join(f"{number} x {reason}" for reason, number in recovery.num_failovers.items())
        yield f"moved to another target ({moves}) in {seconds:.2f} s"
    if recovery.num_replayed_tokens:
        yield f"{recovery.num_replayed_tokens} tokens had been generated before"
    if recovery.num_restored_records:
        yield f"put back in Redis {recovery.num_restored_records} times"


def _describe_rounds(speculation: SpeculationSummary) -> str:
    line = f"{speculation.num_rounds} rounds"
    if speculation.num_draft_tokens:
        share = speculation.num_accepted_tokens / speculation.num_draft_tokens
        counts = f"{speculation.num_accepted_tokens} of {speculation.num_draft_tokens}"
        line += f", {counts} draft tokens accepted ({share:.0%})"
    for reason, num_rounds in speculation.num_degraded_rounds.items():
        line += f", {num_rounds} without a draft ({reason})"
    return line + _describe_choice(speculation.choice)


def _describe_choice(choice: DraftLengthChoice | None) -> str:
    """Return why the rounds had so many draft tokens; nothing where that was not to be chosen.

    Example: , at the end 4 a round (PAYS: 16.9 tok/s expected, 9.1 without)
    """
    if choice is None or not choice.target_only_tokens_per_second:
        return ""
    number = f"{choice.num_draft_tokens} a round" if choice.num_draft_tokens else "none"
    rates = f"{choice.tokens_per_second:.1f} tok/s expected"
    if not choice.num_draft_tokens:
        rates += f" with {choice.num_reported_draft_tokens}"
    without = f"{choice.target_only_tokens_per_second:.1f} without"
    return f", at the end {number} ({choice.reason}: {rates}, {without})"
