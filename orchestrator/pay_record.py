"""What rounds with draft tokens and without have really brought: it overrules forecasts that say otherwise.

A forecast adds up what its parts were measured to take. Where a draft takes processor time from its target, or serves
so many sessions that they wait for each other, the parts do not add up, and each session by itself believes that draft
tokens pay. What all of them together have brought in a second does not lie.
"""

import math

from orchestrator.interludes import Interludes
from orchestrator.load_octave import load_octave

# Rounds that make up most of what is remembered: so many, or so many of each session.
_MEMORY_ROUNDS = 64.0
_MEMORY_ROUNDS_EACH = 8.0
# Fewer say nothing.
_LEAST_ROUNDS = 24.0
_LEAST_ROUNDS_EACH = 2.0
_LEAST_ROUNDS_TO_BEGIN = 1.4  # times those, since the first are remembered less
_MOST_ROUNDS_TO_JUDGE = 12
# Rounds of each session without drafts before they are as they would be if there were none.
_ROUNDS_TO_SETTLE = 2
# After so many rounds without drafts in a row a new session begins without one, but for one of so many.
_LEAST_RESTING = 32
_NEWCOMERS_FOR_ONE = 16
# The target alone has to bring this much more, and more where few rounds say so: they differ in their tokens.
_LEAST_LOSS = 0.02
_CHANCE = 0.5  # of one round
# Draft tokens have to bring this much more to be taken up again.
_GAIN_TO_RESUME = 1.05


class _Yield:
    """Tokens a second of the latest rounds while drafts were at work, or were not."""

    def __init__(self) -> None:
        self.weight = 0.0
        self._tokens = self._seconds = 0.0

    @property
    def rate(self) -> float:
        return self._tokens / self._seconds

    def add(self, num_tokens: int, seconds: float, memory: float) -> None:
        kept = 1.0 - 1.0 / memory
        self.weight = kept * self.weight + 1.0
        self._tokens = kept * self._tokens + num_tokens
        self._seconds = kept * self._seconds + seconds


class _Load:
    """What about so many sessions at once have shown."""

    def __init__(self) -> None:
        self.alone, self.drafted = _Yield(), _Yield()
        self.is_overruled: bool | None = None  # None while too little is known

    def judge(self, num_sessions: int) -> None:
        if min(self.alone.weight, self.drafted.weight) < _least_rounds(num_sessions):
            return
        if self.is_overruled:
            self.is_overruled = self.drafted.rate < _GAIN_TO_RESUME * self.alone.rate
        else:
            loss = self.alone.rate / self.drafted.rate - 1.0
            self.is_overruled = loss > _LEAST_LOSS + _CHANCE * self.drafted.weight**-0.5


class PayRecord:
    """The rounds of all sessions of a target with one drafter.

    Attributes:
        trials: When the sessions of an overruled pair try draft tokens again, all together.
    """

    def __init__(self) -> None:
        self.trials = Interludes(128, 256, 2048)
        self._loads: dict[int, _Load] = {}
        self._num_undrafted = self._num_resting = 0
        self._num_newcomers = 0

    def begin_round(self, num_sessions: int, *, is_drafted: bool) -> None:
        """Take in whether a round of a session among so many asks anything of the draft."""
        self._num_undrafted = 0 if is_drafted else self._num_undrafted + 1
        # A trial of one session is no end of the rest of all.
        self._num_resting = max(0, self._num_resting + (-_LEAST_RESTING // 2 if is_drafted else 1))
        self._num_resting = min(self._num_resting, _LEAST_RESTING + 2 * num_sessions)

    def begins_alone(self, num_sessions: int) -> bool:
        """Return whether a new session of several leaves the draft out, prompt and all, since the others do.

        Now and then one does not, so that it is noticed where drafts would pay.
        """
        if num_sessions < 2 or self._num_resting < max(_LEAST_RESTING, num_sessions):
            return False
        self._num_newcomers += 1
        return self._num_newcomers % _NEWCOMERS_FOR_ONE != 0

    def note(self, num_sessions: int, num_drafted: int, num_tokens: int, seconds: float) -> None:
        """Take in a round that took so long, of a session among so many.

        One without draft tokens shows what the target alone does only where no other session's draft was at work: where
        all sessions have begun some rounds without since, and meet in passes again. Before that it counts for the
        drafts: it was as long as it was beside them, and may have waited for its own in vain.
        """
        load = self._loads.setdefault(load_octave(num_sessions), _Load())
        memory = max(_MEMORY_ROUNDS, _MEMORY_ROUNDS_EACH * num_sessions)
        is_alone = num_drafted == 0 and self._num_undrafted > _ROUNDS_TO_SETTLE * num_sessions
        (load.alone if is_alone else load.drafted).add(num_tokens, seconds, memory)
        load.judge(num_sessions)

    def rounds_to_judge(self, num_sessions: int) -> int:
        """Return how many rounds each of several sessions has to decode alone until that can be told; 0 once it was.

        The first of them do not count, and what is remembered fades.
        """
        load = self._loads.get(load_octave(num_sessions))
        if num_sessions < 2 or (load is not None and load.is_overruled is not None):
            return 0
        rounds_each = _LEAST_ROUNDS_TO_BEGIN * _least_rounds(num_sessions) / num_sessions
        return min(_MOST_ROUNDS_TO_JUDGE, _ROUNDS_TO_SETTLE + math.ceil(rounds_each))

    def is_overruled(self, num_sessions: int) -> bool:
        """Return whether the target alone has brought more.

        What fewer sessions have shown counts for more of them, and for the next fewer what has been seen at all: the
        first of sixteen that ends leaves fifteen.
        """
        octave = load_octave(num_sessions)
        known = {one: load.is_overruled for one, load in self._loads.items() if load.is_overruled is not None}
        nearest = max((one for one in known if one <= octave), default=octave + 1)
        return known.get(nearest, False)


def _least_rounds(num_sessions: int) -> float:
    return max(_LEAST_ROUNDS, _LEAST_ROUNDS_EACH * num_sessions)
