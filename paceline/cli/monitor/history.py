"""The polls of the last minute, as far as rates are made from them."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from paceline.cli.monitor.activity import Activity
from paceline.cli.monitor.poll import Poll, SessionListing
from paceline.client.orchestrator_totals import OrchestratorTotals
from paceline.client.status import OrchestratorStatus, ReplicaStatus

LONGEST_SECONDS = 60.0
_PASS_SECONDS = 5.0
# What seems to have been said so little later is the same sign of life, seen a second time.
_SAME_SIGN_SECONDS = 0.3


class _Heard(NamedTuple):
    """How many passes a replica had run when it last said so."""

    at: float
    num_steps: int


class History:
    """Takes in one poll after the other and tells what happened between them."""

    def __init__(self) -> None:
        self.polls: deque[Poll] = deque(maxlen=2)
        self._known: dict[str, OrchestratorTotals] = {}
        self._steps: deque[Activity] = deque()  # between two polls each
        self._heard: dict[str, deque[_Heard]] = {}  # by address
        self._listings: deque[SessionListing] = deque(maxlen=2)

    def add(self, poll: Poll) -> None:
        """Take in a poll."""
        if self.polls:
            self._steps.append(self._step(poll, poll.at - self.polls[-1].at))
            while sum(one.seconds for one in self._steps) - self._steps[0].seconds >= LONGEST_SECONDS:
                self._steps.popleft()
        self._known |= {status.orchestrator: status.totals for status in poll.statuses}
        self.polls.append(poll)
        for status in poll.statuses:
            for replica in replicas_of(status):
                self._hear(replica, poll.at)
        listing = poll.listing
        if listing is not None and (not self._listings or listing.at > self._listings[-1].at):
            self._listings.append(listing)

    def activity(self, seconds: float = LONGEST_SECONDS) -> Activity:
        """Return what was done in the last seconds, or a little more."""
        totals, passed = OrchestratorTotals(), 0.0
        for step in reversed(self._steps):
            if passed >= seconds:
                break
            totals, passed = totals + step.totals, passed + step.seconds
        return Activity(passed, totals)

    @property
    def since_start(self) -> OrchestratorTotals:
        """What those that answered last have done since their start."""
        return sum((one.totals for one in self.polls[-1].statuses), OrchestratorTotals())

    @property
    def tokens_per_second(self) -> list[float]:
        """Tokens a second between each two polls, the latest last."""
        return [one.tokens_per_second or 0.0 for one in self._steps]

    def passes_per_second(self, address: str) -> float | None:
        """Return how many passes a replica ran lately; None where it has not said so."""
        heard, since = list(self._heard.get(address, ())), self.polls[-1].at - _PASS_SECONDS
        if len(heard) < 2 or heard[-1].at < since:
            return None
        earlier = next((one for one in reversed(heard[:-1]) if one.at <= since), heard[0])
        return (heard[-1].num_steps - earlier.num_steps) / (heard[-1].at - earlier.at)

    def session_rates(self) -> Mapping[str, float]:
        """Return the tokens a second of sessions that were listed twice."""
        if len(self._listings) < 2:
            return {}
        earlier, later = self._listings
        before = {one.session_id: one.position for one in earlier.sessions}
        seconds = later.at - earlier.at
        return {
            one.session_id: max(0, one.position - before[one.session_id]) / seconds
            for one in later.sessions
            if one.session_id in before
        }

    def _step(self, poll: Poll, seconds: float) -> Activity:
        """One that had not answered before begins now, unless it was not there before."""
        done = OrchestratorTotals()
        for status in poll.statuses:
            is_new = status.orchestrator not in self._known and status.uptime_seconds <= seconds
            before = OrchestratorTotals() if is_new else self._known.get(status.orchestrator, status.totals)
            done += status.totals - before
        return Activity(seconds, done)

    def _hear(self, replica: ReplicaStatus, now: float) -> None:
        if replica.engine is None:
            return
        heard = self._heard.setdefault(replica.address, deque())
        latest = _Heard(now - replica.engine.age_seconds, replica.engine.num_steps)
        if heard and latest.num_steps < heard[-1].num_steps:
            # Another process, unless one of several orchestrators has older news.
            if latest.at < heard[-1].at:
                return
            heard.clear()
        if (
            not heard
            or latest.num_steps > heard[-1].num_steps
            or latest.at > heard[-1].at + _SAME_SIGN_SECONDS
        ):
            heard.append(latest)
        while heard and heard[0].at < now - LONGEST_SECONDS:
            heard.popleft()


def replicas_of(status: OrchestratorStatus) -> Iterator[ReplicaStatus]:
    """Yield the replicas of both pools."""
    yield from (one.replica for one in status.targets)
    yield from (one.replica for one in status.drafts)
