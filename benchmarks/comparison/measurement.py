"""Measures cells: in each, all systems one after the other with the same questions, again and again."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from benchmarks.comparison.cell import Cell
from benchmarks.comparison.load_plan import Amount, Prompt, clients_of, load_of, trial_places
from benchmarks.comparison.models import ModelPlan, PromptIds
from benchmarks.comparison.system import System
from benchmarks.comparison.trial import MeasuredCell, Trial
from benchmarks.comparison.workers import Workers
from benchmarks.peers.exchange import Client, Load, Manner, Question
from benchmarks.peers.process import PeerFailedError, PeerProcess
from benchmarks.peers.setup import PeerSetup
from paceline.cli.benchmark.process_usage import cpu_seconds_between, usage_of

WARM_UP = Manner("fixed", 5)
WARM_UP_TOKENS = 2

# Called with what is done next and with how many tokens were asked for just now.
Progress = Callable[[str, int], None]


@dataclass
class _CellState:
    """What a cell has come to so far."""

    trials: list[Trial] = field(default_factory=list[Trial])
    cold_seconds: dict[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    about: dict[str, str] = field(default_factory=dict[str, str])
    skipped: dict[System, str] = field(default_factory=dict[System, str])
    round_trips_ms: tuple[float, float] | None = None


class Measurement:
    """Measures one cell after the other with the processes of a run."""

    def __init__(
        self,
        workers: Workers,
        models: ModelPlan,
        prompts: PromptIds,
        amount: Amount,
        progress: Progress,
    ) -> None:
        self._workers = workers
        self._models = models
        self._prompts = prompts
        self._amount = amount
        self._progress = progress

    async def measure(self, cell: Cell, key: str) -> MeasuredCell:
        """Return what a cell came to; raises PeerFailedError where it is ours that failed."""
        setups = {system: self._models.setup_of(system, cell) for system in cell.systems}
        state, prompts = _CellState(), self._prompts.of(cell.kind)
        await self._workers.keep(setups.values())
        for system, setup in setups.items():
            await self._guarded(state, system, setup, self._make_ready(state, cell, system, setup, prompts))
        for turn, (repeat, group) in enumerate(trial_places(self._amount)):
            clients = clients_of(cell, self._amount, prompts, repeat, turn)
            for system in _rotated(cell.systems, turn):
                self._progress(f"{cell.title}: {system.title}", _num_tokens(clients, self._amount))
                if system not in state.skipped:
                    work = self._run_trial(state, cell, system, setups[system], clients, (repeat, group))
                    await self._guarded(state, system, setups[system], work)
        return MeasuredCell(
            key,
            tuple(system.key for system in cell.systems),
            tuple(state.trials),
            state.cold_seconds,
            state.about,
            state.round_trips_ms,
            tuple(f"{system.title}: {why}" for system, why in state.skipped.items()),
        )

    async def _guarded(
        self, state: _CellState, system: System, setup: PeerSetup, work: Awaitable[None]
    ) -> None:
        """Do the work; a peer that fails is left out of the rest of the cell."""
        try:
            await work
        except PeerFailedError as error:
            if system.peer == "ours":
                raise
            state.skipped[system] = str(error)
            await self._workers.end(setup)

    async def _make_ready(
        self, state: _CellState, cell: Cell, system: System, setup: PeerSetup, prompts: Sequence[Prompt]
    ) -> None:
        """Start a system's process and let it see every prompt, so that no system pays for being the first."""
        self._progress(f"{cell.title}: {system.title} gets ready", 0)
        process = await self._workers.provide(setup)
        state.about[system.key] = process.about
        if cell.round_trips is not None:
            measured = await process.set_round_trips(cell.round_trips)
            state.round_trips_ms = (measured.target_ms, measured.draft_ms)
        warmed = self._workers.warmed(setup)
        new = [prompt for prompt in prompts if prompt.name not in warmed]
        if system.peer == "transformers":  # it keeps no prompts: one brings its kernels up
            new = new[:1]
        if new:
            state.cold_seconds[system.key] = await self._warm_up(process, setup, new)
            warmed |= {prompt.name for prompt in prompts}

    async def _warm_up(
        self, process: PeerProcess, setup: PeerSetup, prompts: Sequence[Prompt]
    ) -> tuple[float, ...]:
        """Return the seconds to the first token of prompts that no cache holds."""
        questions = tuple(Question(prompt.name, prompt.ids, 0) for prompt in prompts)
        manner = WARM_UP if setup.draft is not None else Manner("target")
        outcome = await process.run(
            Load((Client(0.0, questions),), manner, WARM_UP_TOKENS, self._prompts.eos_ids)
        )
        return tuple(answer.time_to_first_token_seconds for answer in outcome.answers)

    async def _run_trial(
        self,
        state: _CellState,
        cell: Cell,
        system: System,
        setup: PeerSetup,
        clients: tuple[Client, ...],
        place: tuple[int, int],
    ) -> None:
        process = await self._workers.provide(setup)
        before = usage_of(process.pids)
        outcome = await process.run(
            load_of(clients, system.manner, cell, self._amount, self._prompts.eos_ids)
        )
        after = usage_of(process.pids)
        cpu_seconds = cpu_seconds_between(before, after) if after else None
        memory = {name: usage.peak_memory_bytes for name, usage in after.items()}
        state.trials.append(Trial(system.key, *place, outcome, cpu_seconds, memory))


def num_tokens_of(cell: Cell, amount: Amount) -> int:
    """Return how many tokens a cell asks for at most, all systems together."""
    num_each = amount.num_questions_per_session if cell.arrivals.kind == "closed" else 1
    num_trials = amount.num_repeats * amount.num_groups * len(cell.systems)
    return num_trials * cell.num_sessions * num_each * amount.max_tokens


def _num_tokens(clients: tuple[Client, ...], amount: Amount) -> int:
    return sum(len(client.questions) for client in clients) * amount.max_tokens


def _rotated(systems: Sequence[System], turn: int) -> list[System]:
    """Each trial begins with another system, so that none is always the first or the last."""
    first = turn % len(systems)
    return [*systems[first:], *systems[:first]]
