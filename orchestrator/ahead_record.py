"""Whether drafting ahead pays: it saves waiting, and slows the target down where both share cores."""

from orchestrator.interludes import Interludes

# The other way has to promise this much more; it is known from few rounds.
_HYSTERESIS = 1.08


class AheadRecord:
    """How the sessions of a target and a draft have it now.

    On cores that both share it is off until rounds have shown that it pays.

    Attributes:
        is_on: Whether rounds have the draft go ahead, interludes aside.
        interludes: When rounds do it the other way.
    """

    def __init__(self, *, is_on: bool = True) -> None:
        self.is_on = is_on
        self.interludes = Interludes(16, 128, 512)

    def choose(self, rate: float, rate_of_the_other: float) -> None:
        """Change the way if the other one is clearly faster, by tokens a second."""
        if rate_of_the_other > _HYSTERESIS * rate:
            self.is_on = not self.is_on
