"""What is to be generated, checked and tokenized."""

from dataclasses import dataclass

from orchestrator.stopping import StopRules
from paceline.sampling.parameters import SamplingParameters


@dataclass(frozen=True)
class GenerationTask:
    """A request that can be served as it is.

    Attributes:
        model: Name of the model that answers.
        prompt_ids: At least one id, each in the vocabulary.
        stop_rules: When to end.
        num_draft_tokens: Draft tokens wanted a round; 0 leaves the draft out.
        sampling: How ids are chosen.
        vocabulary_size: Every id is smaller.
    """

    model: str
    prompt_ids: tuple[int, ...]
    stop_rules: StopRules
    num_draft_tokens: int
    sampling: SamplingParameters
    vocabulary_size: int
