"""All trials with one draft, in a cluster of its own: the target alone is among them, so that ratios are of one run."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from paceline.cli.benchmark.process_usage import usage_of
from paceline.cli.benchmark.trial import GREEDY, Variant, bench_request, run_trial
from paceline.cli.cluster_lines import ClusterLines
from paceline.cli.evaluation.contenders import contenders_of
from paceline.cli.evaluation.energy import EnergyMeter
from paceline.cli.evaluation.journal import Finished, Journal
from paceline.cli.evaluation.measured_trial import (
    MeasuredTrial,
    answer_of,
    cpu_seconds_by_pool,
    memory_by_pool,
)
from paceline.cli.evaluation.piece_key import PieceKeys
from paceline.cli.evaluation.plan import EvaluationPlan
from paceline.cli.evaluation.progress_view import ProgressView
from paceline.cli.evaluation.reading.plan import ModelSource
from paceline.cli.evaluation.section import Section
from paceline.cli.evaluation.speeds import speeds_of
from paceline.cli.evaluation.trial_piece import TRIAL, TrialPiece, load_pieces, speed_pieces
from paceline.cli.evaluation.verdict import best_num_draft_tokens
from paceline.client.orchestrator import Orchestrator, connect
from paceline.local.cluster import LocalCluster
from paceline.local.errors import ProcessFailedError
from paceline.local.supervisor import run_in_cluster

# Both pools see the prompts before anything is timed.
_WARM_UP, _WARM_UP_TOKENS = Variant(5), 2


class DraftTrials:
    """The trials with one draft: those that the journal has, and those that are still to be made."""

    def __init__(
        self,
        plan: EvaluationPlan,
        draft: ModelSource,
        keys: PieceKeys,
        journal: Journal,
        meter: EnergyMeter,
        view: ProgressView,
    ) -> None:
        self.draft = draft
        self._plan = plan
        self._keys = keys
        self._journal = journal
        self._meter = meter
        self._view = view

    @property
    def speed(self) -> list[MeasuredTrial]:
        """The trials of one session each that were made so far."""
        return [one.value for one in self._found(self._speed_pieces)]

    @property
    def load(self) -> list[MeasuredTrial]:
        """The trials of several sessions that were made so far."""
        return [one.value for one in self._found(self._load_pieces)]

    @property
    def finished(self) -> list[Finished[MeasuredTrial]]:
        """All trials that were made so far, with their seconds."""
        return self._found([*self._speed_pieces, *self._load_pieces])

    @property
    def num_pieces(self) -> int:
        """All trials, made or not."""
        return len(self._speed_pieces) + len(self._load_pieces)

    def run(self) -> None:
        """Make the trials that are missing; raises what the cluster and its services raise, and StoppedError."""
        if self._missing(self._speed_pieces) or self._missing(self._load_pieces):
            lines = ClusterLines()
            config = self._plan.cluster(self.draft)
            asyncio.run(run_in_cluster(config, self._measure, lines.show_ready, lines.show_end))
        else:
            self._view.skip(self._part(Section.SPEED))
            self._view.skip(self._part(Section.LOAD))

    async def _measure(self, cluster: LocalCluster, directory: Path) -> None:
        async with connect(cluster.address) as orchestrator:
            await self._warm_up(orchestrator)
            await self._run_part(Section.SPEED, self._speed_pieces, orchestrator, cluster)
            # Not before the speeds are known, which say with which K.
            await self._run_part(Section.LOAD, self._load_pieces, orchestrator, cluster)

    async def _warm_up(self, orchestrator: Orchestrator) -> None:
        """Bring every prompt into the caches of both pools, so that no variant pays for being the first."""
        pieces = self._missing(self._speed_pieces) + self._missing(self._load_pieces)
        prompts = list(dict.fromkeys(prompt for piece in pieces for prompt in piece.planned.prompts))
        with self._view.part("warming up") as report:
            for number, prompt in enumerate(prompts):
                report(f"{prompt.kind} {prompt.name}", number, len(prompts))
                await orchestrator.complete(bench_request(prompt, _WARM_UP, _WARM_UP_TOKENS))

    async def _run_part(
        self,
        section: Section,
        pieces: Sequence[TrialPiece],
        orchestrator: Orchestrator,
        cluster: LocalCluster,
    ) -> None:
        if not pieces:
            return
        with self._view.part(self._part(section)) as report:
            for number, piece in enumerate(pieces):
                report(piece.name, number, len(pieces))
                if self._journal.find(piece.key, TRIAL) is None:
                    finished = await self._make(piece, orchestrator, cluster)
                    self._journal.add(piece.key, f"{section}: {piece.name}", TRIAL, finished)

    async def _make(
        self, piece: TrialPiece, orchestrator: Orchestrator, cluster: LocalCluster
    ) -> Finished[MeasuredTrial]:
        pids = {child.name: child.pid for child in cluster.children}
        began_at, before, energy_before = monotonic(), usage_of(pids), self._meter.read()
        trial = await run_trial(orchestrator, piece.planned, piece.max_tokens, GREEDY, pids)
        energy_after, after = self._meter.read(), usage_of(pids)
        _require_alive(cluster)
        answers = zip(piece.planned.prompts, trial.completions, strict=True)
        measured = MeasuredTrial(
            self.draft.name,
            piece.planned.variant,
            piece.planned.repeat,
            tuple(answer_of(prompt, completion) for prompt, completion in answers),
            cpu_seconds_by_pool(before, after),
            memory_by_pool(after),
            self._meter.joules_between(energy_before, energy_after),
        )
        return Finished(measured, monotonic() - began_at)

    @property
    def _speed_pieces(self) -> list[TrialPiece]:
        return speed_pieces(self._plan, self._keys, self.draft.name)

    @property
    def _load_pieces(self) -> list[TrialPiece]:
        return load_pieces(self._plan, self._keys, self.draft.name, self._best_num_draft_tokens)

    @property
    def _best_num_draft_tokens(self) -> int:
        """Return the K that was best so far; that of the middle where none was measured."""
        contenders = contenders_of(self.speed, speeds_of(self.speed))
        if any(one.num_draft_tokens is not None for one in contenders):
            return best_num_draft_tokens(contenders)
        numbers = self._plan.num_draft_tokens
        return numbers[len(numbers) // 2]

    def _found(self, pieces: Sequence[TrialPiece]) -> list[Finished[MeasuredTrial]]:
        found = (self._journal.find(piece.key, TRIAL) for piece in pieces)
        return [one for one in found if one is not None]

    def _missing(self, pieces: Sequence[TrialPiece]) -> list[TrialPiece]:
        return [piece for piece in pieces if self._journal.find(piece.key, TRIAL) is None]

    def _part(self, section: Section) -> str:
        return self._plan.part_name(section, self.draft)


def _require_alive(cluster: LocalCluster) -> None:
    """Raise ProcessFailedError where a process has ended: a cluster goes on without its draft, which would mislead."""
    for child in cluster.children:
        if child.exit_code is not None:
            raise ProcessFailedError(child.name, child.exit_code, child.log_path, child.last_lines())
