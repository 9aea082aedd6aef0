"""Speculative rounds over models that are tables, and the exact distribution of what they must emit."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from paceline.sampling.draft_distribution import DraftDistribution
from paceline.sampling.parameters import SamplingParameters, Verification
from paceline.sampling.rejection import DraftSelector, RejectionSelector
from paceline.sampling.selector import RowSelector, selector_for
from target_service.verification import Verdict, judge
from tests.paceline.sampling.reference import Floats, exact_probs
from tests.paceline.sampling.rows import Rows
from tests.statistics import Counts

PROMPT: tuple[int, ...] = (0,)

Distributions = Sequence[DraftDistribution | None]
Judge = Callable[[Sequence[int], Sequence[int]], Verdict]


class Drafter(Enum):
    """Who drafts."""

    GOOD = "good"  # a model close to the target
    RANDOM = "random"  # a model that has nothing to do with it
    ADVERSARIAL = "adversarial"  # certain of the token that the target finds least likely


@dataclass(frozen=True)
class Tables:
    """Models whose logits depend on the last id alone, [vocab_size, vocab_size]."""

    target: Rows
    drafts: dict[Drafter, Rows]

    @classmethod
    def of_size(cls, vocabulary_size: int) -> "Tables":
        generator = np.random.default_rng(17)

        def table(scale: float) -> Rows:
            return generator.normal(0, scale, (vocabulary_size, vocabulary_size)).astype(np.float32)

        target = table(1.5)
        return cls(target, {Drafter.GOOD: target + table(0.5), Drafter.RANDOM: table(1.5)})


def target_selector(
    parameters: SamplingParameters, draft_ids: Sequence[int], distributions: Distributions
) -> RowSelector:
    """How the target chooses."""
    if parameters.verification is Verification.REJECTION:
        return RejectionSelector(parameters, draft_ids, distributions)
    return selector_for(parameters)


def propose(
    tables: Tables,
    parameters: SamplingParameters,
    drafter: Drafter,
    ids: Sequence[int],
    num_draft_tokens: int,
) -> tuple[list[int], Distributions]:
    """Draft ids behind some ids, and what they were drawn from."""
    is_rejection = parameters.verification is Verification.REJECTION
    selector = DraftSelector(parameters) if is_rejection else selector_for(parameters)
    known = list(ids)
    for _ in range(num_draft_tokens):
        if drafter is Drafter.ADVERSARIAL:
            known.append(int(tables.target[known[-1]].argmin()))
        else:
            row = tables.drafts[drafter][known[-1]]
            known.append(selector(row[None], np.array([len(known)]), known).item())
    distributions = selector.distributions if isinstance(selector, DraftSelector) else []
    return known[len(ids) :], distributions or [None] * num_draft_tokens


def generate(
    tables: Tables,
    parameters: SamplingParameters,
    drafter: Drafter,
    num_tokens: int,
    num_draft_tokens: int,
    judge_: Judge = judge,
) -> list[int]:
    """Run rounds behind the prompt until there are enough tokens."""
    ids: list[int] = [*PROMPT]
    while len(ids) < len(PROMPT) + num_tokens:
        draft_ids, distributions = propose(tables, parameters, drafter, ids, num_draft_tokens)
        known = ids + draft_ids
        rows = tables.target[known[len(ids) - 1 :]]
        positions = np.arange(len(ids), len(known) + 1)
        selected = target_selector(parameters, draft_ids, distributions)(rows, positions, known).tolist()
        verdict = judge_(selected, draft_ids)
        ids += [*draft_ids[: verdict.num_accepted], *verdict.own_ids]
    return ids[len(PROMPT) : len(PROMPT) + num_tokens]


def exact_marginals(tables: Tables, parameters: SamplingParameters, num_tokens: int) -> list[Floats]:
    """The distribution of the first, second, ... token [num_tokens][vocab_size]: every context is gone through."""
    vocabulary_size = len(tables.target)
    has_penalties = (
        parameters.repetition_penalty != 1 or parameters.presence_penalty or parameters.frequency_penalty
    )
    contexts: dict[tuple[int, ...], float] = {PROMPT: 1.0}
    marginals: list[Floats] = []
    for _ in range(num_tokens):
        marginal = np.zeros(vocabulary_size)
        longer: dict[tuple[int, ...], float] = defaultdict(float)
        for context, weight in contexts.items():
            probs = weight * exact_probs(parameters, tables.target[context[-1]], context)
            marginal += probs
            kept = context if has_penalties else ()  # without penalties only the last id matters
            for token_id in range(vocabulary_size):
                longer[*kept, token_id] += float(probs[token_id])
        contexts = longer
        marginals.append(marginal)
    return marginals


def count(tokens: Sequence[int], vocabulary_size: int) -> Counts:
    return np.bincount(tokens, minlength=vocabulary_size)


def seeds(num: int) -> "itertools.islice[int]":
    """Seeds that differ in all their bits."""
    return itertools.islice((one * 0x9E3779B97F4A7C15 % 2**64 for one in itertools.count(1)), num)
