"""What the sessions of a target and a drafter have taught about each other's rounds: shared by all of them."""

from dataclasses import dataclass, field

from orchestrator.acceptance import AcceptanceHistory
from orchestrator.ahead_record import AheadRecord
from orchestrator.correction import Correction
from orchestrator.interludes import Interludes, InterludesByLoad
from orchestrator.moving_mean import MovingMean
from orchestrator.pay_record import PayRecord

_MEMORY_ROUNDS = 64.0
_MEMORY_COVERED_ROUNDS = 8.0
_ACCEPTANCE_HALF_LIFE_ROUNDS = 200.0
_PRIOR_HITS = 0.5  # of rounds after one whose draft tokens were all accepted
_PRIOR_HITS_REFUSED = 0.1  # of the others


class HitHistory:
    """How often the draft had gone on as the target did, so that its next proposal needed no computing, or less.

    Attributes:
        after_accepted: Share of hits after rounds whose draft tokens were all accepted.
        after_refused: Share of hits after other rounds.
        num_covered: Draft tokens that a hit brings without computing.
    """

    def __init__(self, prior: "HitHistory | None" = None, num_covered: float = 5.0) -> None:
        weight, memory = (4.0, 24.0) if prior is not None else (2.0, _MEMORY_ROUNDS)
        self.after_accepted = MovingMean(
            prior.after_accepted.value if prior is not None else _PRIOR_HITS, weight, memory
        )
        self.after_refused = MovingMean(
            prior.after_refused.value if prior is not None else _PRIOR_HITS_REFUSED, weight, memory
        )
        covered = prior.num_covered.value if prior is not None else num_covered
        self.num_covered = MovingMean(covered, 1.0, _MEMORY_COVERED_ROUNDS)

    def note(self, num_wanted: int, num_ahead: int, *, is_after_accepted: bool) -> None:
        """Take in a proposal of which `num_ahead` of the wanted tokens were there before they were asked for."""
        (self.after_accepted if is_after_accepted else self.after_refused).add(float(num_ahead > 0))
        if num_ahead:
            is_cut = num_ahead < num_wanted
            self.num_covered.add(num_ahead if is_cut else max(num_ahead, self.num_covered.value))

    def share(self, chance_all_accepted: float, *, is_optimistic: bool = False) -> float:
        """Return how likely a hit is where all draft tokens are accepted so often, or how likely it may well be."""
        accepted, refused = self.after_accepted.value, self.after_refused.value
        if is_optimistic:
            accepted = min(1.0, accepted + (accepted * (1.0 - accepted) / self.after_accepted.weight) ** 0.5)
        return chance_all_accepted * accepted + (1.0 - chance_all_accepted) * refused


@dataclass
class PairRecord:
    """One target with one drafter.

    Attributes:
        ahead: Whether drafting ahead pays.
        acceptance: Of all sessions.
        hits: Of all sessions.
        correction: Of forecasts.
        pay: What rounds have really brought.
        alone: Interludes without drafts while drafts pay, to know what the target alone would do.
        together: Interludes with drafts of all sessions while none pay, to know what a pass with so many rows takes.
        shares_cores: Whether what the draft computes takes the target's time, as far as the replicas say.
    """

    ahead: AheadRecord = field(default_factory=AheadRecord)
    acceptance: AcceptanceHistory = field(
        default_factory=lambda: AcceptanceHistory(half_life_rounds=_ACCEPTANCE_HALF_LIFE_ROUNDS)
    )
    hits: HitHistory = field(default_factory=HitHistory)
    correction: Correction = field(default_factory=Correction)
    pay: PayRecord = field(default_factory=PayRecord)
    alone: InterludesByLoad = field(default_factory=lambda: InterludesByLoad(4, 64, 256))
    together: Interludes = field(default_factory=lambda: Interludes(16, 64, 256))
    shares_cores: bool = False
