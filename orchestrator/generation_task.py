"""What is to be generated, checked and tokenized."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from orchestrator.start import Start
from orchestrator.stopping import StopRules
from orchestrator.transcript import StopTexts
from paceline.client.generation import Drafter, SpeculationMode
from paceline.sampling.parameters import MAX_SEED, SamplingParameters


@dataclass(frozen=True)
class SpeculationPlan:
    """Where draft tokens come from and how many; `num_draft_tokens` is the most where `is_adaptive`."""

    drafter: Drafter
    num_draft_tokens: int
    is_adaptive: bool

    @classmethod
    def of(cls, mode: SpeculationMode, drafter: Drafter, num_draft_tokens: int) -> "SpeculationPlan":
        """Return the plan of a mode; without a drafter, or with speculation off, there is no draft token."""
        if mode is SpeculationMode.OFF or drafter is Drafter.NONE:
            return cls(Drafter.NONE, 0, is_adaptive=False)
        return cls(drafter, num_draft_tokens, mode is SpeculationMode.ADAPTIVE)


@dataclass(frozen=True)
class GenerationTask:
    """A request that can be served as it is.

    Attributes:
        model: Name of the model that answers.
        prompt_ids: At least one id, each in the vocabulary; what follows them is output.
        start: Where the rounds begin.
        stop_rules: When to end.
        stop_texts: Texts that end it too.
        speculation: Where draft tokens come from.
        sampling: How ids are chosen.
        vocabulary_size: Every id is smaller.
        num_choices: Answers to generate, at least 1.
        echo: Whether the prompt is sent back first.
        tenant: Whose session it is; empty where callers are not told apart.
        num_new_prompt_tokens: Prompt ids that the request adds, once for all choices; a session that goes on has the
            others.
        prediction_ids: What much of the output is likely to repeat; empty where nothing is predicted.
    """

    model: str
    prompt_ids: tuple[int, ...]
    start: Start
    stop_rules: StopRules
    stop_texts: StopTexts
    speculation: SpeculationPlan
    sampling: SamplingParameters
    vocabulary_size: int
    num_choices: int = 1
    echo: bool = False
    tenant: str = ""
    num_new_prompt_tokens: int = 0
    prediction_ids: tuple[int, ...] = ()

    def choices(self) -> Iterator["GenerationTask"]:
        """Yield the task of each choice: it has the seed of the first one plus its number."""
        for choice in range(self.num_choices):
            seed = (self.sampling.seed + choice) & MAX_SEED
            yield replace(self, sampling=replace(self.sampling, seed=seed))
