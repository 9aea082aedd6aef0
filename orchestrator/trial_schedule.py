"""When a session that decodes without drafts tries some again."""

from enum import Enum, auto

# So many rounds without drafts come before a trial, then twice as many.
_FIRST_PAUSE_ROUNDS = 32
_LONGEST_PAUSE_ROUNDS = 256
# A trial that costs as much as a round without drafts comes after at least so many of them.
_ROUNDS_FOR_ONE = 100.0
# What rounds that try drafts may cost where they may well pay: at first, and so much more with each round.
_MOST_CREDIT_ROUNDS = 3.0
_CREDIT_PER_ROUND = 0.005
# Rounds that a draft gets to come up to the session; it then gets another chance after the next pause.
_MOST_REFRESHES = 8
# A draft is up to a session if it lacks no more ids than a round or two have added since it was asked.
_LARGEST_LAG = 2


class Rest(Enum):
    """What a round does that is to have no draft tokens."""

    ALONE = auto()
    REFRESH = auto()  # the draft comes up to the session, and nobody waits for it
    TRY = auto()


class TrialSchedule:
    """A change of the text, or of the load, is noticed at a cost of about a percent."""

    def __init__(self) -> None:
        self._num_rested = 0
        self._num_refreshes = 0
        self._credit_rounds = _MOST_CREDIT_ROUNDS
        self._pause_rounds = _FIRST_PAUSE_ROUNDS

    def next_round(
        self,
        draft_lag: int | None,
        cost_rounds: float,
        num_sessions: int = 1,
        *,
        is_promising: bool,
        refresh_rounds: float = 0.0,
    ) -> Rest:
        """Return what the next round does.

        A trial would cost as much as so many rounds without drafts, and bringing the draft up to the session before it
        as much as `refresh_rounds`.

        Sessions that share a target learn from each other, and each may cost the less.

        `draft_lag` is how many ids the draft's cache is behind, None while it is being brought up. As long as little is
        known and drafts may well pay, rounds try them without a pause, until they have cost what is allowed.
        """
        self._num_rested += 1
        most = _MOST_CREDIT_ROUNDS / num_sessions**0.5
        self._credit_rounds = min(self._credit_rounds + _CREDIT_PER_ROUND, most)
        if is_promising and cost_rounds + refresh_rounds <= self._credit_rounds:
            if draft_lag is None or draft_lag > _LARGEST_LAG:
                self._credit_rounds -= refresh_rounds
                return Rest.REFRESH
            self._credit_rounds -= cost_rounds
            self._num_rested = 0
            return Rest.TRY
        if self._num_rested <= max(self._pause_rounds, _ROUNDS_FOR_ONE * (cost_rounds + refresh_rounds)):
            return Rest.ALONE
        if draft_lag is not None and draft_lag <= _LARGEST_LAG:
            self._begin_pause()
            return Rest.TRY
        if self._num_refreshes == _MOST_REFRESHES:
            self._begin_pause()
            return Rest.ALONE
        self._num_refreshes += 1
        return Rest.REFRESH

    def reset(self) -> None:
        """Begin with the shortest pause again: drafts pay."""
        self._num_rested = self._num_refreshes = 0
        self._pause_rounds = _FIRST_PAUSE_ROUNDS

    def _begin_pause(self) -> None:
        self._num_rested = self._num_refreshes = 0
        self._pause_rounds = min(2 * self._pause_rounds, _LONGEST_PAUSE_ROUNDS)
