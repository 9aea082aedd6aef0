"""Expected speed-up of each kind of prompts for each K, from rounds of other prompts than those."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from paceline.cli.evaluation.agreement import ForeseenTexts
from paceline.cli.evaluation.measured_trial import MeasuredTrial
from paceline.cli.evaluation.prediction import RoundCosts, costs_of, filled, predict_speed_up
from paceline.cli.evaluation.round_samples import AnswerSamples, samples_of
from paceline.cli.evaluation.speeds import variants_of
from paceline.client.generation import SpeculationMode

_OWN_ROUNDS_NOTE = (
    "There is a single prompt: its predicted speed-up is from what its own rounds cost, not from others."
)


@dataclass(frozen=True)
class Forecast:
    """Expected speed-ups by kind and K, where they can be told, and what is to be said of them."""

    speed_ups: Mapping[tuple[str, int], float]
    notes: tuple[str, ...] = ()


def forecast_of(trials: Sequence[MeasuredTrial], texts: ForeseenTexts, max_tokens: int) -> Forecast:
    """Predict the speed-ups that trials with one draft, one session each, have measured; raises TextMismatchError.

    Each kind is predicted from the rounds of all others; where there is only one, each prompt from all others.
    """
    prompts = {prompt: text for prompt, text in texts.items() if prompt in _prompts_of(trials)}
    is_other = _others(list(prompts))
    samples = {
        variant.num_draft_tokens: samples_of(trials, variant, prompts, max_tokens)
        for variant in variants_of(trials)
        if variant.mode is SpeculationMode.FIXED
    }
    by_kind: dict[tuple[str, int], list[float]] = {}
    for prompt, text in prompts.items():
        for costs in _costs_beside(prompt, samples, is_other):
            speed_up = predict_speed_up(text.until(max_tokens), costs, max_tokens)
            if speed_up is not None:
                by_kind.setdefault((prompt[0], costs.num_draft_tokens), []).append(speed_up)
    speed_ups = {key: median(values) for key, values in by_kind.items()}
    return Forecast(speed_ups, (_OWN_ROUNDS_NOTE,) if len(prompts) == 1 else ())


_Prompt = tuple[str, str]
_IsOther = Callable[[_Prompt, AnswerSamples], bool]


def _costs_beside(
    prompt: _Prompt, samples: Mapping[int, Sequence[AnswerSamples]], is_other: _IsOther
) -> list[RoundCosts]:
    """Return the costs of rounds of each K, from the answers that tell of a prompt."""
    measured: list[RoundCosts] = []
    for num_draft_tokens, answers in samples.items():
        others = (sample for one in answers if is_other(prompt, one) for sample in one.samples)
        costs = costs_of(others, num_draft_tokens)
        measured += [costs] if costs is not None else []
    return [filled(costs, measured) for costs in measured]


def _others(prompts: Sequence[_Prompt]) -> _IsOther:
    """Return whose rounds tell of a prompt."""
    if len({kind for kind, _ in prompts}) > 1:
        return lambda prompt, one: one.kind != prompt[0]
    if len(prompts) > 1:
        return lambda prompt, one: (one.kind, one.prompt) != prompt
    return lambda prompt, one: True


def _prompts_of(trials: Sequence[MeasuredTrial]) -> set[_Prompt]:
    return {(answer.kind, answer.prompt) for trial in trials for answer in trial.answers}
