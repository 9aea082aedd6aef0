"""What a cell's trials came to, and ratios of systems within the same questions."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from benchmarks.comparison.cell import Cell
from benchmarks.comparison.system import System, system_of
from benchmarks.comparison.trial import MeasuredCell, Trial
from paceline.cli.benchmark.spread import Spread, percentile, spread_of


@dataclass(frozen=True)
class SystemSummary:
    """One system in one cell.

    Attributes:
        tokens_per_second: Of all sessions together, the prompts' time included; a value a trial.
        decode_tokens_per_second: After the first tokens.
        first_token_p50: Seconds from when a question was due; its prompt was in the caches.
        token_p50: Seconds of a token after the first ones.
        cold_first_token: Seconds for prompts that no cache held.
        acceptance: Accepted draft tokens of all draft tokens; None without any.
        cpu_seconds_per_token: Of all processes of the system, the client's left out.
        peak_memory_bytes: The most that each process ever held, by role.
        num_identical: Answers whose ids are those of the peer's own target-only; None where that was not measured.
        num_answers: Answers in all.
    """

    system: System
    about: str
    tokens_per_second: Spread | None
    decode_tokens_per_second: Spread | None
    first_token_p50: float | None
    first_token_p99: float | None
    token_p50: float | None
    token_p99: float | None
    cold_first_token: float | None
    acceptance: float | None
    cpu_seconds_per_token: float | None
    peak_memory_bytes: Mapping[str, int]
    num_identical: int | None
    num_answers: int


@dataclass(frozen=True)
class CellSummary:
    """A measured cell with its circumstances."""

    cell: Cell
    measured: MeasuredCell

    @cached_property
    def trials(self) -> dict[str, dict[tuple[int, int], Trial]]:
        """Trials by system and by (repeat, group)."""
        found: dict[str, dict[tuple[int, int], Trial]] = {}
        for trial in self.measured.trials:
            found.setdefault(trial.system, {})[trial.repeat, trial.group] = trial
        return found

    @property
    def systems(self) -> tuple[System, ...]:
        """What was really measured, in order."""
        return tuple(system_of(key) for key in self.measured.systems if key in self.trials)

    def ratio(
        self, system: System, base: System, value: Callable[[Trial], float | None] | None = None
    ) -> Spread | None:
        """Return a system's tokens a second divided by another's, within the same questions; None without both."""
        rate = value or (lambda trial: trial.outcome.tokens_per_second)
        own, others = self.trials.get(system.key, {}), self.trials.get(base.key, {})
        pairs = [(rate(own[place]), rate(others[place])) for place in own if place in others]
        return spread_of(one / other for one, other in pairs if one and other)

    def decode_ratio(self, system: System, base: System) -> Spread | None:
        """As `ratio`, after the first tokens."""
        return self.ratio(system, base, lambda trial: trial.outcome.decode_tokens_per_second)

    def best_speculative(self, peer: str) -> System | None:
        """Return a peer's fastest system that speculates with a fixed number, by its median; None without any."""
        candidates = [one for one in self.systems if one.peer == peer and one.num_draft_tokens]
        return max(candidates, key=self._median, default=None)

    def summary(self, system: System) -> SystemSummary:
        """Return what one system came to."""
        trials = list(self.trials[system.key].values())
        outcomes = [trial.outcome for trial in trials]
        answers = [answer for outcome in outcomes for answer in outcome.answers]
        firsts = [answer.time_to_first_token_seconds for answer in answers]
        tokens = [seconds for answer in answers for seconds in answer.token_seconds]
        num_drafted = sum(outcome.num_draft_tokens for outcome in outcomes)
        num_accepted = sum(outcome.num_accepted_tokens for outcome in outcomes)
        cpu_seconds = [trial.cpu_seconds for trial in trials if trial.cpu_seconds is not None]
        cold = self.measured.cold_seconds.get(system.key, ())
        return SystemSummary(
            system,
            self.measured.about.get(system.key, ""),
            spread_of(outcome.tokens_per_second for outcome in outcomes),
            spread_of(rate for outcome in outcomes if (rate := outcome.decode_tokens_per_second)),
            percentile(firsts, 0.5),
            percentile(firsts, 0.99),
            percentile(tokens, 0.5),
            percentile(tokens, 0.99),
            statistics.median(cold) if cold else None,
            num_accepted / num_drafted if num_drafted else None,
            sum(cpu_seconds) / sum(one.num_tokens for one in outcomes) if cpu_seconds else None,
            trials[-1].peak_memory_bytes,
            self._num_identical(system),
            len(answers),
        )

    def _median(self, system: System) -> float:
        trials = self.trials[system.key].values()
        return statistics.median(trial.outcome.tokens_per_second for trial in trials)

    def _num_identical(self, system: System) -> int | None:
        alone = self.trials.get(System(system.peer, "target").key)
        if alone is None:
            return None
        pairs = [
            (answer, expected)
            for place, trial in self.trials[system.key].items()
            if place in alone
            for answer, expected in zip(trial.outcome.answers, alone[place].outcome.answers, strict=True)
        ]
        return sum(answer.token_ids == expected.token_ids for answer, expected in pairs)

    @property
    def differing(self) -> tuple[System, ...]:
        """Systems of ours that gave other ids than our target alone: there must be none."""
        ours = [self.summary(system) for system in self.systems if system.peer == "ours"]
        return tuple(
            one.system
            for one in ours
            if one.num_identical is not None and one.num_identical != one.num_answers
        )
