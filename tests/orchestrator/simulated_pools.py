"""A target and a draft whose sessions run their rounds on a simulated clock: no server, no model, no waiting."""

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

from orchestrator.ahead_record import AheadRecord
from orchestrator.draft_planner import NOTHING_WISHED, DraftPlanner, DraftWish
from orchestrator.generation_task import SpeculationPlan
from orchestrator.pair_record import PairRecord
from orchestrator.replica_pace import DraftPace, TargetPace
from orchestrator.round_forecast import Partners
from orchestrator.round_report import RoundReport
from orchestrator.rounds import Proposal, RoundTiming
from paceline.client.generation import Drafter, SpeculationMode

MAX_ROWS = 64
MAX_DRAFT_TOKENS = 8
MAX_AHEAD_TOKENS = 6


def one_core(rows: int) -> float:
    """Seconds of a pass like those of docs/decisions/002 on one core: 0.129 for 1 row, 0.159 for 5, 0.270 for 16."""
    return 0.129 + 0.0075 * (rows - 1) if rows <= 5 else 0.159 + 0.0101 * (rows - 5)


def gpu(rows: int) -> float:
    """Seconds of a pass that reads its weights once and has room for many rows."""
    return 0.030 + 0.0001 * rows


class World(NamedTuple):
    """What is simulated; seconds of a draft's step are a share of those of a pass with one row."""

    curve: Callable[[int], float] = one_core
    num_sessions: int = 1
    acceptance: float = 0.7
    step_share: float = 0.2
    hop_seconds: float = 0.0
    drafts_ahead: bool = True
    slowed_by_ahead: float = 0.0  # how much longer a pass takes beside drafting ahead
    slowed_by_drafts: float = 0.0  # how much longer a pass takes while drafts of all sessions are computed
    draft_row_price: float = 0.0  # how much longer a draft's step takes for each other session that it serves
    shares_cores: bool = False  # as far as the replicas say
    noise: float = 0.15
    num_rounds: int = 400
    seed: int = 1


@dataclass(order=True)
class _Event:
    at: float
    number: int
    run: Callable[[float], None] = field(compare=False)


@dataclass
class _Session:
    number: int
    planner: DraftPlanner
    num_tokens: float = 0.0
    round: int = 0
    started_at: float = 0.0
    ended_at: float = 0.0
    asked_at: float = 0.0  # the target
    wish: DraftWish = NOTHING_WISHED
    was_ahead: bool = False
    num_drafted: int = 0
    num_ahead: int = 0
    draft_timing: RoundTiming | None = None
    draft_seconds: float = 0.0
    lag: int = 1
    busy_until: float = 0.0  # the draft, with a refresh
    was_all_accepted: bool = True
    verify_seconds: float = 0.0
    lengths: list[int] = field(default_factory=list)
    num_rounds_ahead: int = 0


class SimulatedPools:
    """Runs the rounds of a world; `length` fixed for all rounds, or chosen by planners where it is None."""

    def __init__(self, world: World, length: int | None = None) -> None:
        self._world = world
        mode = SpeculationMode.ADAPTIVE if length is None else SpeculationMode.FIXED
        most = MAX_DRAFT_TOKENS if length is None else length
        plan = SpeculationPlan.of(mode if most else SpeculationMode.OFF, Drafter.MODEL, most)
        ahead = MAX_AHEAD_TOKENS if world.drafts_ahead else 0
        self.sessions = [_Session(i, DraftPlanner(plan, ahead)) for i in range(world.num_sessions)]
        self.target, self.draft = TargetPace(), DraftPace()
        self.pair = PairRecord(AheadRecord(is_on=not world.shares_cores), shares_cores=world.shares_cores)
        self._random = random.Random(world.seed)
        self._events: list[_Event] = []
        self._num_events = 0
        self._waiting: list[tuple[float, _Session]] = []
        self._target_is_busy = False
        self._num_drafting = 0

    def run(self) -> float:
        """Return tokens a second of a session, on average."""
        for session in self.sessions:
            self._at(self._random.random() * 0.01, lambda now, one=session: self._begin(one, now))
        while self._events:
            event = heapq.heappop(self._events)
            event.run(event.at)
        return fmean(one.num_tokens / one.ended_at for one in self.sessions)

    def _at(self, at: float, run: Callable[[float], None]) -> None:
        self._num_events += 1
        heapq.heappush(self._events, _Event(at, self._num_events, run))

    def _noisy(self, seconds: float) -> float:
        return seconds * math.exp(self._random.gauss(0.0, self._world.noise))

    def _begin(self, one: _Session, now: float) -> None:
        if one.round >= self._world.num_rounds:
            one.ended_at = now
            return
        one.round += 1
        one.started_at = now
        lag = None if now < one.busy_until else one.lag
        partners = Partners(self.target, self._world.num_sessions, self.draft, lag, self.pair)
        one.was_ahead = one.wish.length.max_ahead_tokens > 0
        one.wish = one.planner.next_round(one.round, 10_000, partners)
        num = one.wish.length.num_draft_tokens
        one.num_rounds_ahead += one.wish.length.max_ahead_tokens > 0
        one.num_drafted, one.num_ahead, one.draft_timing = 0, 0, None
        if one.wish.is_refresh:
            if now >= one.busy_until:
                one.busy_until = (
                    now + self._noisy(self._step()) * (1 + one.lag / 16) + self._world.hop_seconds
                )
                one.lag = 0
            num = 0
        one.lengths.append(num)
        waited = self._propose(one, num) if num else 0.0
        one.draft_seconds = waited
        self._num_drafting += num > 0
        self._at(now + waited, lambda at: self._ask(one, at, was_drafting=num > 0))

    def _step(self) -> float:
        return self._world.step_share * self._world.curve(1)

    def _propose(self, one: _Session, num: int) -> float:
        hop, step = self._world.hop_seconds, self._step()
        step *= 1.0 + self._world.draft_row_price * self._num_drafting
        is_guessed = one.lag <= 1 and one.was_ahead and one.was_all_accepted
        is_hit = is_guessed and self._random.random() < self._world.acceptance
        num_ahead = 0
        if is_hit:
            covered = min(MAX_AHEAD_TOKENS, int((one.verify_seconds + hop) / step) if step else 99) - 1
            num_ahead = min(num, max(0, covered))
        num = max(num_ahead, one.wish.length.num_awaited_tokens)
        num_steps = num - num_ahead
        computed = sum(self._noisy(step) for _ in range(num_steps)) * (1 + max(0, one.lag - 1) / 16)
        waited = computed + self._noisy(hop)
        limit = one.wish.longest_wait_seconds
        one.draft_timing = RoundTiming(0.0, computed, 0, num_steps, 1, 1)
        self.draft.note(waited, one.draft_timing)
        one.lag = 0
        if limit is not None and waited > limit:
            one.draft_timing = None
            return limit
        one.num_drafted, one.num_ahead = num, num_ahead
        return waited

    def _ask(self, one: _Session, now: float, *, was_drafting: bool) -> None:
        self._num_drafting -= was_drafting
        one.asked_at = now
        self._at(now + self._noisy(self._world.hop_seconds) / 2, lambda at: self._arrive(one, at))

    def _arrive(self, one: _Session, now: float) -> None:
        self._waiting.append((now, one))
        if not self._target_is_busy:
            self._target_is_busy = True
            self._at(now + 1e-6, self._start_pass)

    def _start_pass(self, now: float) -> None:
        if not self._waiting:
            self._target_is_busy = False
            return
        batch, rows = [], 0
        for arrived, one in list(self._waiting):
            if rows + one.num_drafted + 1 <= MAX_ROWS:
                batch.append((arrived, one))
                rows += one.num_drafted + 1
        self._waiting = [pair for pair in self._waiting if pair not in batch]
        num_ahead = sum(one.wish.length.max_ahead_tokens > 0 for _, one in batch)
        slowed = 1.0 + self._world.slowed_by_ahead * num_ahead / len(batch)
        slowed += self._world.slowed_by_drafts * self._num_drafting / self._world.num_sessions
        seconds = self._noisy(slowed * self._world.curve(rows))
        for arrived, one in batch:
            timing = RoundTiming(now - arrived, seconds, 0, 1, max(2, rows), len(batch))
            back = now + seconds + self._noisy(self._world.hop_seconds) / 2
            self._at(back, lambda at, one=one, timing=timing: self._answer(one, timing, at))
        self._at(now + seconds + 0.0005, self._start_pass)

    def _answer(self, one: _Session, timing: RoundTiming, now: float) -> None:
        num = one.num_drafted
        accepted = next((i for i in range(num) if self._random.random() > self._world.acceptance), num)
        one.num_tokens += sum(
            self._world.acceptance**place for place in range(num + 1)
        )  # less noise than the count
        one.lag += 1
        one.was_all_accepted = accepted == num
        elapsed = now - one.asked_at
        one.verify_seconds = elapsed
        report = RoundReport(
            one.wish.length.num_draft_tokens,
            num,
            accepted,
            Proposal(range(num), one.num_ahead, one.draft_timing) if one.draft_timing and num else None,
            one.draft_seconds,
            elapsed,
            timing,
        )
        one.planner.note(report)
        self._begin(one, now)
