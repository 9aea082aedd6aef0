"""Trials as a cluster would have made them whose rounds cost what is known."""

from collections.abc import Mapping, Sequence
from itertools import takewhile

from paceline.cli.benchmark.trial import ADAPTIVE, TARGET_ONLY, Variant
from paceline.cli.evaluation.measured_trial import Answer, MeasuredTrial
from paceline.cli.evaluation.prediction import Situation, situation_after, situation_at_first
from paceline.cli.evaluation.reading.foreseen import ForeseenText
from paceline.client.completion import Arrival
from paceline.sampling.outlook import Outlook

Prompt = tuple[str, str]  # kind and name

FIRST_TOKEN_SECONDS = 0.5
TOKEN_SECONDS = 0.1
# Of a round of K draft tokens, in tokens of the target alone.
COSTS: Mapping[Situation, float] = {
    Situation.FIRST: 1.1,
    Situation.CONTINUED: 1.3,
    Situation.REPLACED: 1.2,
    Situation.FOLLOWED: 1.4,
    Situation.MISSED: 2.2,
}


def alone(prompt: Prompt, num_tokens: int, slowness: float = 1.0) -> Answer:
    """The target alone; where `slowness` is 2, everything takes twice as long."""
    arrivals = [
        Arrival((FIRST_TOKEN_SECONDS + place * TOKEN_SECONDS) * slowness, 1, place)
        for place in range(num_tokens)
    ]
    return Answer(*prompt, tuple(range(num_tokens)), tuple(arrivals), 0, 0, 0)


def drafted(
    prompt: Prompt,
    text: ForeseenText,
    num_draft_tokens: int,
    slowness: float = 1.0,
    costs: Mapping[Situation, float] = COSTS,
) -> Answer:
    """Rounds of K draft tokens over a text of which the draft foresees so much."""
    num_tokens = len(text.ids)
    seconds, place, situation = FIRST_TOKEN_SECONDS * slowness, 1, situation_at_first(text)
    arrivals, drafts = [Arrival(seconds, 1)], list[tuple[int, int]]()
    while place < num_tokens:
        num_drafted = min(num_draft_tokens, num_tokens - place - 1)
        num_accepted = sum(takewhile(bool, text.agrees[place : place + num_drafted]))
        cost = 1 + (costs[situation] - 1) * num_drafted / num_draft_tokens
        seconds += cost * TOKEN_SECONDS * slowness
        arrivals.append(Arrival(seconds, num_accepted + 1, len(arrivals), num_drafted, num_accepted))
        drafts.append((num_drafted, num_accepted))
        situation = situation_after(text, place, num_drafted, num_accepted)
        place += num_accepted + 1
    return Answer(
        *prompt,
        tuple(text.ids),
        tuple(arrivals),
        sum(num for num, _ in drafts),
        sum(num for _, num in drafts),
        sum(num > 0 for num, _ in drafts),
    )


def trial(
    variant: Variant,
    *answers: Answer,
    repeat: int = 0,
    draft: str = "small",
    cpu_seconds: Mapping[str, float] | None = None,
    joules: float | None = None,
) -> MeasuredTrial:
    memory = {"draft": 1 << 20, "target": 1 << 30}
    return MeasuredTrial(draft, variant, repeat, answers, cpu_seconds or {}, memory, joules)


def trials_of(
    texts: Mapping[Prompt, ForeseenText],
    numbers: Sequence[int],
    slownesses: Sequence[float] = (1.0, 0.8, 1.5),
    costs: Mapping[Situation, float] = COSTS,
    draft: str = "small",
) -> list[MeasuredTrial]:
    """All variants of all prompts, in a repeat for each slowness of the machine; adaptive mode is the first K."""
    found: list[MeasuredTrial] = []
    for repeat, slowness in enumerate(slownesses):
        for prompt, text in texts.items():
            found.append(
                trial(TARGET_ONLY, alone(prompt, len(text.ids), slowness), repeat=repeat, draft=draft)
            )
            for variant in (*map(Variant, numbers), ADAPTIVE):
                answer = drafted(prompt, text, variant.num_draft_tokens or numbers[0], slowness, costs)
                found.append(trial(variant, answer, repeat=repeat, draft=draft))
    return found


def foreseen(pattern: str) -> ForeseenText:
    """A text whose ids are 0, 1, 2 and so on, by what the draft foresees of each.

    Example: "TGF" is one that it chooses itself, one that it finds next best, and one that it does not think of.
    """
    return ForeseenText(
        range(len(pattern)), [_outlook(token_id, letter) for token_id, letter in enumerate(pattern)]
    )


def _outlook(token_id: int, letter: str) -> Outlook:
    if letter == "T":
        return Outlook((token_id,), (1.0,))
    return Outlook((-1, token_id if letter == "G" else -2), (0.7, 0.3))
