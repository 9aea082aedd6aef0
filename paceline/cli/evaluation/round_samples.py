"""Costs of measured rounds, each beside what the target alone took for the same prompt in the same repeat."""

from collections.abc import Sequence
from dataclasses import dataclass

from paceline.cli.benchmark.trial import TARGET_ONLY, Variant
from paceline.cli.evaluation.agreement import ForeseenTexts, require_same_text
from paceline.cli.evaluation.measured_trial import Answer, MeasuredTrial, with_variant
from paceline.cli.evaluation.prediction import RoundSample, situation_after, situation_at_first
from paceline.cli.evaluation.reading.foreseen import ForeseenText
from paceline.cli.evaluation.rounds import rounds_of


@dataclass(frozen=True)
class AnswerSamples:
    """The rounds of one answer that had K draft tokens."""

    kind: str
    prompt: str
    samples: tuple[RoundSample, ...]


def samples_of(
    trials: Sequence[MeasuredTrial], variant: Variant, texts: ForeseenTexts, max_tokens: int
) -> list[AnswerSamples]:
    """Return the samples of a fixed K, of trials of one session each; raises TextMismatchError."""
    alone = {trial.key: trial.tokens_per_second for trial in with_variant(trials, TARGET_ONLY)}
    found: list[AnswerSamples] = []
    for trial in with_variant(trials, variant):
        [answer] = trial.answers
        text, rate = texts.get((answer.kind, answer.prompt)), alone.get(trial.key)
        if text is None or rate is None:
            continue
        require_same_text(answer, text, max_tokens)
        samples = _samples(answer, text, 1 / rate, trial.repeat, variant.num_draft_tokens)
        found.append(AnswerSamples(answer.kind, answer.prompt, tuple(samples)))
    return found


def _samples(
    answer: Answer, text: ForeseenText, token_seconds: float, repeat: int, num_draft_tokens: int
) -> list[RoundSample]:
    situation, samples = situation_at_first(text), list[RoundSample]()
    for one in rounds_of(answer):
        # A text's last rounds have fewer draft tokens, and one whose draft was late has none: both say nothing of K.
        if one.num_draft_tokens == num_draft_tokens:
            samples.append(RoundSample(situation, one.seconds / token_seconds, repeat))
        situation = situation_after(text, one.place, one.num_draft_tokens, one.num_accepted)
    return samples
