"""What rounds with draft tokens and without have really brought: it overrules forecasts that say otherwise.

A forecast adds up what its parts were measured to take. Where a draft takes processor time from its target, or serves
so many sessions that they wait for each other, the parts do not add up, and each session by itself believes that draft
tokens pay. What all of them together have brought in a second does not lie.
"""

from orchestrator.interludes import Interludes

# Rounds that make up most of what is remembered: so many, or so many of each session.
_MEMORY_ROUNDS = 64.0
_MEMORY_ROUNDS_EACH = 8.0
# Fewer say nothing.
_LEAST_ROUNDS = 24.0
_LEAST_ROUNDS_EACH = 2.0
# The target alone has to bring this much more, and more where few rounds say so: they differ in their tokens.
_LEAST_LOSS = 0.02
_CHANCE = 0.5  # of one round
# Draft tokens have to bring this much more to be taken up again.
_GAIN_TO_RESUME = 1.05


class _Yield:
    """Tokens a second of the latest rounds of one kind."""

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
        least = max(_LEAST_ROUNDS, _LEAST_ROUNDS_EACH * num_sessions)
        if min(self.alone.weight, self.drafted.weight) < least:
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
        self.trials = Interludes(64, 128, 512)
        self._loads: dict[int, _Load] = {}
        self._num_undrafted = 0

    def begin_round(self, *, is_drafted: bool) -> None:
        """Take in whether a round asks anything of the draft."""
        self._num_undrafted = 0 if is_drafted else self._num_undrafted + 1

    def note(self, num_sessions: int, num_drafted: int, num_tokens: int, seconds: float) -> None:
        """Take in a round that took so long, of a session among so many.

        One without draft tokens shows what the target alone does only where no other session's draft was at work: where
        all sessions have begun a round without since.
        """
        load = self._loads.setdefault(_load(num_sessions), _Load())
        memory = max(_MEMORY_ROUNDS, _MEMORY_ROUNDS_EACH * num_sessions)
        if num_drafted:
            load.drafted.add(num_tokens, seconds, memory)
        elif self._num_undrafted > num_sessions:
            load.alone.add(num_tokens, seconds, memory)
        else:
            return
        load.judge(num_sessions)

    def is_overruled(self, num_sessions: int) -> bool:
        """Return whether the target alone has brought more; what fewer sessions have shown counts for more of them."""
        known = (
            (load, one.is_overruled)
            for load, one in self._loads.items()
            if one.is_overruled is not None and load <= _load(num_sessions)
        )
        return max(known, default=(0, False))[1]


def _load(num_sessions: int) -> int:
    """Loads are told apart by octaves: 1, 2 to 3, 4 to 7, and so on."""
    return num_sessions.bit_length()
