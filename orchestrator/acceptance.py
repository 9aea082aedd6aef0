"""How likely the draft token at each place of a round is accepted if those before it are."""

from collections.abc import Sequence

# A judged draft token counts half after so many others at its place.
HALF_LIFE_ROUNDS = 32
# What a place has shown fades slowly while no round reaches it.
_FADING = 0.5 ** (1 / 256)
# What is believed before anything is known, and how many judged draft tokens that is worth at each place.
_PRIOR_ACCEPTANCE = 0.6
_PRIOR_WEIGHT = 4.0


class AcceptanceHistory:
    """The share of draft tokens accepted among those whose predecessors were, for each place, recent rounds most.

    What a place has not shown itself is taken from the place before it, and from how those two differ in `prior`, the
    estimates of another history when this one began.
    Example: nothing known but 4 of 4 accepted at place 0 -> 0.8 there, with the prior's 0.6 worth 4 more.
    """

    def __init__(self, prior: Sequence[float] = (), half_life_rounds: float = HALF_LIFE_ROUNDS) -> None:
        self._prior = prior
        self._decay = 0.5 ** (1 / half_life_rounds)
        self._accepted: list[float] = []
        self._judged: list[float] = []
        self._belief_weights: list[float] = []  # what is believed of a place wears off as it is judged
        self._estimates: list[float] = []

    @property
    def num_places(self) -> int:
        """How many places have had a draft token judged."""
        return len(self._judged)

    def note(self, num_drafted: int, num_accepted: int) -> None:
        """Count a verdict; drafts after the first refused one were never judged on their own."""
        num_judged = min(num_drafted, num_accepted + 1)
        missing = num_judged - len(self._judged)
        if missing > 0:
            self._accepted += [0.0] * missing
            self._judged += [0.0] * missing
            self._belief_weights += [_PRIOR_WEIGHT] * missing
        for place in range(num_judged, len(self._judged)):
            self._judged[place] *= _FADING
            self._accepted[place] *= _FADING
        for place in range(num_judged):
            self._belief_weights[place] *= self._decay
            self._judged[place] = self._judged[place] * self._decay + 1.0
            self._accepted[place] = self._accepted[place] * self._decay + (place < num_accepted)
        self._estimates = []

    def estimates(self, num_places: int) -> Sequence[float]:
        """Return the probability for each of the first places, 0 to 1."""
        if len(self._estimates) < num_places:
            self._estimates = self._estimate(num_places)
        return self._estimates[:num_places]

    def optimistic(self, num_places: int) -> Sequence[float]:
        """Return what the probabilities may well be: the estimates and a standard error more."""
        return [
            min(
                1.0, one + (one * (1.0 - one) / (self._num_judged(place) + self._belief_weight(place))) ** 0.5
            )
            for place, one in enumerate(self.estimates(num_places))
        ]

    def _estimate(self, num_places: int) -> list[float]:
        estimates: list[float] = []
        for place in range(num_places):
            accepted = self._accepted[place] if place < len(self._accepted) else 0.0
            belief = self._belief(place, estimates[-1] if estimates else _PRIOR_ACCEPTANCE)
            weight = self._belief_weight(place)
            estimates.append((accepted + weight * belief) / (self._num_judged(place) + weight))
        return estimates

    def _belief(self, place: int, before: float) -> float:
        """Return what a place is taken for by itself: as much more than the place before as in the prior."""
        if place >= len(self._prior):
            return before
        return min(1.0, max(0.0, self._prior[place] + (before - self._prior[place - 1] if place else 0.0)))

    def _belief_weight(self, place: int) -> float:
        return self._belief_weights[place] if place < len(self._belief_weights) else _PRIOR_WEIGHT

    def _num_judged(self, place: int) -> float:
        return self._judged[place] if place < len(self._judged) else 0.0
