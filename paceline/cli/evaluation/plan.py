"""What an evaluation is to find out, on what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.evaluation.amount import Amount, ReadingAmount, prompts_per_kind
from paceline.cli.evaluation.findings import Prices
from paceline.cli.evaluation.reading.plan import ModelSource, ReadingPlan
from paceline.cli.evaluation.section import Section
from paceline.errors import ConfigError
from paceline.local.core_assignment import CoreAssignment
from paceline.local.plan import ClusterConfig, ModelChoice

SEED = 0


@dataclass(frozen=True)
class EvaluationPlan:
    """Everything that was chosen.

    Attributes:
        target: The model whose text counts.
        drafts: At least one, none of the same name as another.
        prompts: All that were given; an amount may use fewer.
        sections: What is looked into.
        amount: How much is measured; `num_draft_tokens` takes the place of its Ks.
        num_draft_tokens: The Ks, in rising order.
        temperatures: Besides greedy.
        cores: Cores of each pool.
        prices: What the user pays.
        session_tokens: Length of the sessions that memory is reckoned for.
        budget_bytes: Memory for the KV cache of each model.
    """

    target: ModelSource
    drafts: tuple[ModelSource, ...]
    prompts: tuple[BenchPrompt, ...]
    sections: tuple[Section, ...]
    amount: Amount
    num_draft_tokens: tuple[int, ...]
    temperatures: tuple[float, ...]
    cores: CoreAssignment
    prices: Prices
    session_tokens: int
    budget_bytes: int

    def reading(self, amount: ReadingAmount) -> ReadingPlan:
        """Return what is read with both models in this process."""
        return ReadingPlan(
            self.target,
            self.drafts,
            first_prompts(self.prompts, amount.prompts_per_kind),
            amount.max_tokens,
            self.temperatures,
            SEED,
            self.num_draft_tokens,
            self.cores,
        )

    def cluster(self, draft: ModelSource) -> ClusterConfig:
        """Return the cluster that measures one draft."""
        return ClusterConfig(_choice(self.target), _choice(draft), cores=self.cores)

    def part_names(self, section: Section) -> list[str]:
        """Return the names in progress of a section's parts, one for each draft where the services are measured."""
        if section in {Section.SPEED, Section.LOAD}:
            return [self.part_name(section, draft) for draft in self.drafts]
        return [section.value]

    def part_name(self, section: Section, draft: ModelSource) -> str:
        """Return the name in progress of the part of a section that measures one draft."""
        return f"{section} with {draft.name}" if len(self.drafts) > 1 else section.value

    @property
    def rebuilt_tokens(self) -> tuple[int, ...]:
        """The lengths of the sessions whose caches are rebuilt, in rising order."""
        return tuple(
            sorted({max(1, int(share * self.session_tokens)) for share in self.amount.rebuilt_shares})
        )

    @property
    def speed_prompts(self) -> tuple[BenchPrompt, ...]:
        """The prompts whose speed is measured one at a time."""
        return first_prompts(self.prompts, self.amount.speed.prompts_per_kind)

    @property
    def load_prompts(self) -> tuple[BenchPrompt, ...]:
        """The prompts that are measured several at once, the kinds in turn."""
        return taking_turns(first_prompts(self.prompts, self.amount.load.prompts_per_kind))


def by_kind(prompts: Sequence[BenchPrompt]) -> Mapping[str, tuple[BenchPrompt, ...]]:
    """Return the prompts of each kind, in their order."""
    kinds = dict.fromkeys(prompt.kind for prompt in prompts)
    return {kind: tuple(prompt for prompt in prompts if prompt.kind == kind) for kind in kinds}


def first_prompts(prompts: Sequence[BenchPrompt], amount: int) -> tuple[BenchPrompt, ...]:
    """Return the first prompts of each kind: so many where there are five kinds, more where there are fewer."""
    kinds = by_kind(prompts)
    num_each = prompts_per_kind(amount, len(kinds))
    return tuple(prompt for same in kinds.values() for prompt in same[:num_each])


def require_prompts(prompts: Sequence[BenchPrompt]) -> None:
    """Refuse no prompts, and two of one kind and name, which findings could not tell apart: raises ConfigError."""
    names = [(prompt.kind, prompt.name) for prompt in prompts]
    if not names:
        raise ConfigError("--prompts: there is no prompt in it", setting="prompts")
    if twice := [name for name in names if names.count(name) > 1]:
        kind, name = twice[0]
        raise ConfigError(
            f"--prompts: two prompts of kind {kind} have the name {name!r}; give each a name of its own",
            setting="prompts",
        )


def taking_turns(prompts: Sequence[BenchPrompt]) -> tuple[BenchPrompt, ...]:
    """Return the prompts with the kinds in turn. Example: code a, code b, prose c -> a, c, b."""
    rows = zip_longest(*by_kind(prompts).values())
    return tuple(prompt for row in rows for prompt in row if prompt is not None)


def _choice(model: ModelSource) -> ModelChoice:
    # A prepared directory is served as it is, and the services' flag has no name for f32.
    weights = "f16" if model.weights == "f32" else model.weights
    return ModelChoice(model.name, weights, model.directory)
