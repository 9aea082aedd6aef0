"""What an evaluation found: plain data, which is the JSON, and all that its reports may say.

Seconds, bytes, tokens a second and shares from 0 to 1 throughout. A figure that was not measured is None or not there,
never a zero.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from paceline.cli.benchmark.machine import Machine

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Estimate:
    """A measured figure: the median of `count` measurements, and its 95 % confidence interval, by bootstrap.

    With a single measurement `low` and `high` equal it, and nothing is known of the noise.
    """

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class About:
    """What was done, on what."""

    command: str
    machine: Machine
    versions: Mapping[str, str]
    cores: str
    amount: str  # "quick", "default" or "thorough"
    started: str  # ISO 8601, UTC
    seconds: float  # all sections together, those of earlier runs that were resumed included
    num_prompts_by_kind: Mapping[str, int]
    max_tokens: int
    num_repeats: int
    notes: tuple[str, ...] = ()  # what was left out, and why


@dataclass(frozen=True)
class ModelFacts:
    """A model as it was served; `role` is "target" or "draft"."""

    role: str
    name: str
    weights: str
    compute_precision: str
    kv_precision: str
    device: str
    is_batch_invariant: bool
    num_parameters: int
    weight_bytes: int
    num_layers: int
    num_kv_heads: int
    head_size: int
    kv_bytes_per_token: int


@dataclass(frozen=True)
class Acceptance:
    """How well a draft meets the target on prompts of one kind, from both models' logits at the target's own text.

    Attributes:
        draft: Name of the draft.
        kind: Kind of the prompts; "all" for all together.
        sampling: "greedy", or as "T = 0.7".
        num_positions: Positions of the target's text that were looked at.
        observed: Share of positions where the draft chooses the target's token, with its confidence interval.
        per_position: Share of rounds whose draft token at this place is accepted, of those that were accepted up to it.
        expected_shared: Mean over positions of the exact probability that shared noise gives both the same token; None
            where greedy.
        expected_rejection: The same for accept-reject with the distribution that the draft ships; None where greedy.
        optimum: 1 - TV, the most that any verification reaches; None where greedy.
        tokens_per_round: By K as text ("3"): tokens that a round of K draft tokens brings on this very text.
    """

    draft: str
    kind: str
    sampling: str
    num_positions: int
    observed: Estimate
    per_position: tuple[float, ...]
    expected_shared: float | None
    expected_rejection: float | None
    optimum: float | None
    tokens_per_round: Mapping[str, float]


@dataclass(frozen=True)
class Latency:
    """Seconds as a user feels them: `gap_*` between two arrivals of text, `request_*` from request to last token."""

    gap_mean: float
    gap_p50: float
    gap_p95: float
    gap_p99: float
    gap_worst: float
    request_mean: float
    request_p50: float
    request_p95: float
    request_p99: float
    request_worst: float
    first_token_p50: float
    first_token_worst: float


@dataclass(frozen=True)
class Speed:
    """One way of generating, on prompts of one kind, `num_sessions` at once, through the real services.

    Attributes:
        draft: Name of the draft; empty for the target alone.
        variant: "target-only", "K = 3" or "adaptive".
        num_draft_tokens: K; None for the target alone and adaptive mode.
        tokens_per_second: After the first token, of all sessions together.
        speed_up: The same over the target alone's on the same prompts in the same repeat; None for itself.
        predicted_speed_up: From acceptance and the costs of rounds on OTHER prompts; None where it is not predicted.
        tokens_per_round: As measured; None for the target alone.
        is_identical: Whether all ids are the target's own; never False unless something is broken.
        cpu_seconds_per_token: By pool ("draft", "target", "orchestrator"); empty where it cannot be read.
        memory_bytes: By pool, the most that its processes held.
    """

    draft: str
    kind: str
    variant: str
    num_draft_tokens: int | None
    num_sessions: int
    tokens_per_second: Estimate
    speed_up: Estimate | None
    predicted_speed_up: float | None
    tokens_per_round: float | None
    acceptance: float | None
    latency: Latency
    is_identical: bool
    cpu_seconds_per_token: Mapping[str, float]
    memory_bytes: Mapping[str, int]


@dataclass(frozen=True)
class RoundCost:
    """Seconds of a round of K draft tokens, after a round that accepted all of them and after one that did not."""

    draft: str
    num_draft_tokens: int
    seconds_after_full: float | None
    seconds_after_partial: float | None
    num_rounds: int


@dataclass(frozen=True)
class SizeRatio:
    """How much smaller a draft is, by what one counts. A rule of thumb wants 10 x."""

    draft: str
    parameters: float
    weight_bytes: float
    step_seconds: float  # a target step of one token over a draft step of one token, alone on the same cores
    break_even_acceptance: Mapping[
        str, float | None
    ]  # by K: the share at which K just pays; None where none does


@dataclass(frozen=True)
class KvMemory:
    """KV-cache memory of one model in one precision.

    Attributes:
        role: "target" or "draft".
        model: Its name.
        precision: Of the KV, as "bf16" or "u8".
        predicted_bytes_per_token: From the architecture alone: layers, KV heads, head size, precision.
        measured_bytes_per_token: What a process's memory grew by for each token; None where it cannot be read.
        num_measured_tokens: Tokens that were held for that.
        session_tokens: Length of a session that the next two speak of.
        bytes_per_session: Whole blocks.
        sessions_in_budget: Sessions of that length which `budget_bytes` hold.
        budget_bytes: The user's, for each model.
    """

    role: str
    model: str
    precision: str
    predicted_bytes_per_token: float
    measured_bytes_per_token: float | None
    num_measured_tokens: int
    session_tokens: int
    bytes_per_session: int
    sessions_in_budget: int
    budget_bytes: int


@dataclass(frozen=True)
class CacheCost:
    """Keeping a session's cache against computing it again, for one model."""

    role: str
    model: str
    num_tokens: int
    kept_bytes: int
    rebuild_seconds: float
    rebuild_cpu_seconds: float


@dataclass(frozen=True)
class TargetFormat:
    """The target in one format of weights and KV: what it costs, and what becomes of its text.

    `agreement` is the share of positions of the reference's greedy text where this one would write the same token; the
    reference is the widest format that was measured (`reference`), f16 with unquantised KV where it is among them.
    """

    weights: str
    kv_precision: str
    compute_precision: str
    weight_bytes: int
    resident_bytes: int
    step_seconds: Estimate  # 1 row
    verify_seconds: Estimate  # 5 rows
    perplexity: float
    agreement: float
    reference: str
    is_batch_invariant: bool


@dataclass(frozen=True)
class DraftFormat:
    """A draft in one format of weights and KV."""

    draft: str
    weights: str
    kv_precision: str
    compute_precision: str
    weight_bytes: int
    resident_bytes: int
    step_seconds: Estimate
    is_batch_invariant: bool


@dataclass(frozen=True)
class FormatPair:
    """A target's format beside a draft's: acceptance on the greedy text of that target, and what speed follows.

    `expected_speed_up` at the best K, `relative_speed` that of the pair over the reference target alone: both computed
    from steps measured alone, for a draft that is `ahead` or not at all; a guide to choose by, not a measurement.
    """

    draft: str
    target_weights: str
    draft_weights: str
    kv_precision: str
    acceptance: float
    best_num_draft_tokens: int
    expected_speed_up: float
    relative_speed: float


@dataclass(frozen=True)
class Cost:
    """What a million tokens need, at `num_sessions` at once; from measured CPU seconds, and measured energy if any."""

    draft: str
    variant: str
    num_sessions: int
    core_hours_by_pool: Mapping[str, float]
    servers_for_rate: Mapping[
        str, float
    ]  # by pool: servers of `cores_per_server` cores for `rate` tokens a second
    energy_kwh: float | None
    energy_source: str  # "rapl", "nvml", "watts of a core, as given", or why there is none
    price: float | None
    currency: str


@dataclass(frozen=True)
class Prices:
    """What the user pays; None is not told."""

    draft_core_hour: float | None = None
    target_core_hour: float | None = None
    kwh: float | None = None
    currency: str = "EUR"
    watts_per_core: float | None = None
    cores_per_server: int = 16
    rate: float = 100.0  # tokens a second


@dataclass(frozen=True)
class KindVerdict:
    """The best of one kind of prompts."""

    kind: str
    num_draft_tokens: int | None  # None: the target alone is best
    speed_up: Estimate
    adaptive_speed_up: Estimate | None
    worst_speed_up: float  # of the recommended K on this kind
    worst_gap_ratio: float  # worst gap between two arrivals over the target alone's worst


@dataclass(frozen=True)
class Verdict:
    """What to do about one draft. `answer` is "use", "use-for-some" (see `kinds`), or "do-not-use"."""

    draft: str
    answer: str
    num_draft_tokens: int | None
    reason: str  # "pays", "pays-for-some", "low-acceptance", "slow-draft" or "within-noise"
    kinds: tuple[KindVerdict, ...]
    is_adaptive_safe: bool  # adaptive mode was nowhere slower than the target alone by more than `tolerance`
    tolerance: float
    acceptance: float
    break_even_acceptance: float | None


@dataclass(frozen=True)
class Evaluation:
    """Everything that an evaluation found; a section that was left out is empty."""

    about: About
    prices: Prices
    models: tuple[ModelFacts, ...]
    acceptance: tuple[Acceptance, ...]
    round_costs: tuple[RoundCost, ...]
    speed: tuple[Speed, ...]
    size_ratios: tuple[SizeRatio, ...]
    kv_memory: tuple[KvMemory, ...]
    cache_costs: tuple[CacheCost, ...]
    target_formats: tuple[TargetFormat, ...]
    draft_formats: tuple[DraftFormat, ...]
    format_pairs: tuple[FormatPair, ...]
    load: tuple[Speed, ...]
    costs: tuple[Cost, ...]
    verdicts: tuple[Verdict, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the evaluation for `json.dumps`."""
        return {"format_version": FORMAT_VERSION, **asdict(self)}
