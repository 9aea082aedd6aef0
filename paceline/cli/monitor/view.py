"""All that a frame shows, worked out and not yet drawn."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from paceline.cli.monitor.activity import Activity
from paceline.cli.monitor.history import LONGEST_SECONDS, History
from paceline.cli.monitor.poll import OrchestratorAnswer, Poll
from paceline.client.generation import Drafter
from paceline.client.orchestrator_totals import OrchestratorTotals
from paceline.client.replica_state import ReplicaState
from paceline.client.sessions import SessionInfo
from paceline.client.status import EngineStatus, HostedModel, PairStatus, ReplicaStatus

LATELY_SECONDS = 5.0
# What a replica said of its engine longer ago says nothing: it says so every half a second while it has work.
_FRESH_SECONDS = 5.0
# The state that is shown where orchestrators differ is the first of these.
_SEVERITY = (
    ReplicaState.GONE,
    ReplicaState.REFUSED,
    ReplicaState.DRAINING,
    ReplicaState.RESTING,
    ReplicaState.UNKNOWN,
    ReplicaState.READY,
)


@dataclass(frozen=True)
class ReplicaRow:
    """One replica, as all orchestrators together see it. None is what is not known.

    Attributes:
        name: Its replica id, else its address.
        state: The most severe that an orchestrator sees.
        reason: Why, where sessions cannot be sent there.
        num_views: Orchestrators that are configured with it.
        num_agreeing: Those of them that see it in that state.
        num_sessions: Of all orchestrators together.
        engine: What it said of its engine within the last seconds.
        passes_per_second: Of lately.
        pass_seconds: A forward pass with one row; of a draft, a step.
        acceptance: Shape [num_places], the mean over its partners in the other pool.
        num_partners: Partners with which draft tokens were judged.
        num_ahead: Those of them with which drafting ahead is on.
    """

    name: str
    address: str
    state: ReplicaState
    reason: str
    num_views: int
    num_agreeing: int
    num_sessions: int
    model: HostedModel | None
    engine: EngineStatus | None
    passes_per_second: float | None
    pass_seconds: float | None
    hop_seconds: float | None
    acceptance: tuple[float, ...]
    num_partners: int
    num_ahead: int


@dataclass(frozen=True)
class SessionRow:
    """A running session; `tokens_per_second` is None until it was listed twice."""

    session: SessionInfo
    tokens_per_second: float | None

    @property
    def has_owner(self) -> bool:
        """Whether its lease has not run out."""
        return self.session.lease_seconds is None or self.session.lease_seconds >= 0


@dataclass(frozen=True)
class View:
    """All that a frame shows.

    Attributes:
        time: Of the poll, in seconds since the epoch.
        answers: Of the orchestrators.
        lately: What was done in the last seconds.
        minute: What was done in the last minute.
        totals: What was done since the start.
        tokens_per_second: Between each two polls, the latest last.
        targets: The target pool.
        drafts: The draft pool.
        sessions: Those that run, the longest first.
        num_sessions: How many run, those that are not listed included.
    """

    time: float
    answers: tuple[OrchestratorAnswer, ...]
    lately: Activity
    minute: Activity
    totals: OrchestratorTotals
    tokens_per_second: tuple[float, ...]
    targets: tuple[ReplicaRow, ...]
    drafts: tuple[ReplicaRow, ...]
    sessions: tuple[SessionRow, ...]
    num_sessions: int


@dataclass(frozen=True)
class _ReplicaView:
    """A replica as one orchestrator sees it."""

    replica: ReplicaStatus
    pass_seconds: float | None
    pairs: tuple[PairStatus, ...]


def view_of(history: History) -> View:
    """Return the view of what a history has seen; it has a poll."""
    poll = history.polls[-1]
    listing = poll.listing
    return View(
        poll.time,
        poll.answers,
        history.activity(LATELY_SECONDS),
        history.activity(LONGEST_SECONDS),
        history.since_start,
        tuple(history.tokens_per_second),
        _rows(_target_views(poll), history),
        _rows(_draft_views(poll), history),
        _session_rows(listing.sessions, history) if listing is not None else (),
        listing.num_found if listing is not None else 0,
    )


def _target_views(poll: Poll) -> list[_ReplicaView]:
    return [
        _ReplicaView(one.replica, one.pass_seconds, one.pairs)
        for status in poll.statuses
        for one in status.targets
    ]


def _draft_views(poll: Poll) -> list[_ReplicaView]:
    return [
        _ReplicaView(
            one.replica,
            one.step_seconds,
            tuple(
                pair
                for target in status.targets
                for pair in target.pairs
                if pair.drafter == one.replica.address
            ),
        )
        for status in poll.statuses
        for one in status.drafts
    ]


def _rows(views: Iterable[_ReplicaView], history: History) -> tuple[ReplicaRow, ...]:
    by_address: dict[str, list[_ReplicaView]] = {}
    for view in views:
        by_address.setdefault(view.replica.address, []).append(view)
    rows = [_row(some, history.passes_per_second(address)) for address, some in by_address.items()]
    return tuple(sorted(rows, key=lambda row: _natural_order(row.name)))


def _row(views: Sequence[_ReplicaView], passes_per_second: float | None) -> ReplicaRow:
    """Sum up the views; what only one of them can tell is that of the orchestrator which heard of it last."""
    latest = min(views, key=_age)
    worst = min(views, key=lambda one: _SEVERITY.index(one.replica.state)).replica
    engine = latest.replica.engine
    pairs = [pair for view in views for pair in view.pairs if pair.acceptance]
    with_draft = [pair for pair in pairs if pair.drafter != Drafter.PROMPT_LOOKUP]
    return ReplicaRow(
        latest.replica.replica_id or latest.replica.address,
        latest.replica.address,
        worst.state,
        worst.reason,
        len(views),
        sum(one.replica.state is worst.state for one in views),
        sum(one.replica.num_sessions for one in views),
        next((one.replica.model for one in views if one.replica.model is not None), None),
        engine if engine is not None and engine.age_seconds <= _FRESH_SECONDS else None,
        passes_per_second,
        latest.pass_seconds,
        latest.replica.hop_seconds,
        _mean_acceptance(with_draft or pairs),
        len(with_draft),
        sum(pair.is_ahead_on for pair in with_draft),
    )


def _age(view: _ReplicaView) -> float:
    return view.replica.engine.age_seconds if view.replica.engine is not None else float("inf")


def _natural_order(name: str) -> list[str | int]:
    """Return a key by which target-2 comes before target-10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]


def _mean_acceptance(pairs: Sequence[PairStatus]) -> tuple[float, ...]:
    """Return the mean at each place, over those that have it.

    Example: (0.8, 0.6) and (0.6,) -> (0.7, 0.6).
    """
    longest = max((len(one.acceptance) for one in pairs), default=0)
    at_places = [
        [one.acceptance[place] for one in pairs if place < len(one.acceptance)] for place in range(longest)
    ]
    return tuple(sum(some) / len(some) for some in at_places)


def _session_rows(sessions: Iterable[SessionInfo], history: History) -> tuple[SessionRow, ...]:
    rates = history.session_rates()
    rows = [SessionRow(one, rates.get(one.session_id)) for one in sessions]
    return tuple(sorted(rows, key=_session_order))


def _session_order(row: SessionRow) -> tuple[bool, int, str]:
    """Those that nobody serves come first."""
    session = row.session
    return row.has_owner, session.num_prompt_tokens - session.position, session.session_id
