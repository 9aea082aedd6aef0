"""Compares a simulation with the real system, at the size that this machine can run."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich import box
from rich.table import Table

from benchmarks.simulation.cluster import Cluster, running_cluster
from benchmarks.simulation.experiment import TARGET_ONLY, TARGET_ONLY_SPECULATION, middle_outcome
from benchmarks.simulation.measurement import measure
from benchmarks.simulation.outcome import Outcome
from benchmarks.simulation.real_cluster import PAIR, RealCluster, real_cluster
from benchmarks.simulation.report import head_lines
from benchmarks.simulation.run_options import RunOptions
from benchmarks.simulation.settings import Settings
from benchmarks.simulation.step_probe import draft_step_time, target_step_time
from paceline.cli.benchmark.machine import Machine
from paceline.cli.benchmark.prompt_set import read_prompts
from paceline.client.generation import Speculation
from paceline.errors import ConfigError

NUM_SESSIONS = (1, 4)
PROMPTS = "code,prose"


@dataclass(frozen=True)
class Comparison:
    """One load on both systems."""

    sessions: int
    speculation: str
    real: Outcome
    simulated: Outcome

    @property
    def tokens_error(self) -> float:
        """How much more tokens per second are simulated than real, as a share of the real ones."""
        return self.simulated.tokens_per_second / self.real.tokens_per_second - 1

    @property
    def rounds_error(self) -> float:
        """The same of rounds per second."""
        return self.simulated.rounds_per_second / self.real.rounds_per_second - 1


@dataclass(frozen=True)
class CrossCheckReport:
    """Both systems side by side; `settings` has the step times and the acceptance that were measured."""

    command: str
    machine: Machine
    versions: dict[str, str]
    settings: Settings
    cores: str
    comparisons: Sequence[Comparison]

    def to_json(self) -> dict[str, object]:
        """Return the report for `json.dumps`."""
        comparisons = [
            {**asdict(one), "tokens_error": one.tokens_error, "rounds_error": one.rounds_error}
            for one in self.comparisons
        ]
        return {**asdict(self), "comparisons": comparisons}

    def header_lines(self) -> list[str]:
        """Return what was compared, and on what."""
        settings = self.settings
        return [
            *head_lines(self.command, self.machine, self.versions),
            f"pair      {PAIR}; cores {self.cores or 'not pinned'}; {PROMPTS}, {settings.max_tokens} tokens each",
            f"measured  target {settings.target_steps} (rows=ms)",
            f"          draft {settings.draft_steps} (rows=ms)",
            f"          acceptance {settings.acceptance:.3f}, prompts of {settings.prompt_tokens} tokens",
        ]

    def table(self) -> Table:
        """Return one row for each load."""
        table = Table(box=box.MARKDOWN)
        for heading in (
            *("sessions", "K", "tok/s real", "simulated", "error", "rounds/s real", "simulated", "error"),
            *("verify ms real", "simulated", "draft ms real", "simulated", "queue ms real", "simulated"),
            *("outside ms real", "simulated"),
        ):
            table.add_column(heading, justify="right", no_wrap=True)
        for one in self.comparisons:
            real, simulated = one.real, one.simulated
            table.add_row(
                str(one.sessions),
                one.speculation,
                f"{real.tokens_per_second:.1f}",
                f"{simulated.tokens_per_second:.1f}",
                f"{one.tokens_error:+.1%}",
                f"{real.rounds_per_second:.1f}",
                f"{simulated.rounds_per_second:.1f}",
                f"{one.rounds_error:+.1%}",
                *_both(real.verify_ms, simulated.verify_ms),
                *_both(real.draft_ms, simulated.draft_ms),
                *_both(real.queue_ms, simulated.queue_ms),
                *_both(real.outside_ms, simulated.outside_ms),
            )
        return table

    def footer_lines(self) -> list[str]:
        """Return how to read the table."""
        return [
            "milliseconds are means of a round, outside the median of generations; each load's middle repeat"
        ]


@dataclass(frozen=True)
class _Load:
    sessions: int
    name: str
    speculation: Speculation


class CrossCheck:
    """One comparison: the real system is measured, then both run side by side and are loaded in turn."""

    def __init__(
        self, settings: Settings, options: RunOptions, directory: Path, say: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._options = options
        self._directory = directory
        self._say = say
        self._prompts = tuple(prompt.text for prompt in read_prompts(PROMPTS))
        self._turn = 0

    async def run(self, command: str, machine: Machine, versions: dict[str, str]) -> CrossCheckReport:
        """Return the comparison; raises ConfigError where there is nothing to compare."""
        length = self._settings.num_draft_tokens
        if not isinstance(length, int):
            raise ConfigError(
                "--cross-check compares a fixed number of draft tokens with none; give --num-draft-tokens 1 to 64",
                setting="num_draft_tokens",
            )
        kinds = ((TARGET_ONLY, TARGET_ONLY_SPECULATION), (str(length), self._settings.speculation))
        loads = [_Load(sessions, *kind) for sessions in NUM_SESSIONS for kind in kinds]
        options, directory = self._options, self._directory
        async with real_cluster(
            options, directory / "real", lambda status: self._say(f"{status.name} is ready")
        ) as real:
            settings = await self._measured(real)
            async with running_cluster(settings, options, directory / "simulated") as simulated:
                comparisons = [await self._compare(load, real.cluster, simulated, settings) for load in loads]
        return CrossCheckReport(
            command, machine, versions, settings, self._options.cores.describe(), comparisons
        )

    async def _measured(self, real: RealCluster) -> Settings:
        """Return the settings with step times, acceptance and prompt lengths of the real system."""
        self._say("measuring the passes of target and draft, and the acceptance")
        settings = replace(self._settings, sessions=1, targets=1, drafts=1, dilation=1.0)
        target_steps = await target_step_time(real.target_address)
        draft_steps = await draft_step_time(real.draft_address)
        outcome = await self._measure(real.cluster, settings, settings.speculation, self._prompts)
        if outcome.acceptance is None or outcome.prompt_tokens is None:
            raise ConfigError(
                "no generation ended in time; give more --seconds or fewer --max-tokens", setting="seconds"
            )
        return replace(
            settings,
            sessions=max(NUM_SESSIONS),
            target_steps=target_steps,
            draft_steps=draft_steps,
            acceptance=outcome.acceptance,
            prompt_tokens=max(4, round(outcome.prompt_tokens)),
        )

    async def _compare(
        self, load: _Load, real: Cluster, simulated: Cluster, settings: Settings
    ) -> Comparison:
        """Load both clusters in turn, whatever the machine does meanwhile falling on both alike."""
        own = replace(settings, sessions=load.sessions)
        real_outcomes, simulated_outcomes = list[Outcome](), list[Outcome]()
        for repeat in range(self._options.num_repeats):
            self._say(f"{load.sessions} sessions, {load.name}, repeat {repeat + 1}")
            real_outcomes.append(await self._measure(real, own, load.speculation, self._prompts))
            simulated_outcomes.append(await self._measure(simulated, own, load.speculation, ()))
        return Comparison(
            load.sessions, load.name, middle_outcome(real_outcomes), middle_outcome(simulated_outcomes)
        )

    async def _measure(
        self, cluster: Cluster, settings: Settings, speculation: Speculation, prompts: tuple[str, ...]
    ) -> Outcome:
        self._turn += 1
        return await measure(cluster, settings, speculation, self._options, self._turn, prompts)


def _both(real: float | None, simulated: float | None) -> list[str]:
    return ["-" if one is None else f"{one:.2f}" for one in (real, simulated)]
