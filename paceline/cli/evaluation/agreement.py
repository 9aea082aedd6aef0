"""Whether what was read in this process is the text that the services wrote."""

from collections.abc import Mapping

from paceline.cli.evaluation.measured_trial import Answer
from paceline.cli.evaluation.reading.foreseen import ForeseenText
from paceline.cli.evaluation.rounds import rounds_of
from paceline.errors import PacelineError

# By kind and name of a prompt.
ForeseenTexts = Mapping[tuple[str, str], ForeseenText]
# A draft need not be batch-invariant: a few of its choices depend on what else it computes.
_MOST_DIFFERENT = 1 / 3


class TextMismatchError(PacelineError):
    """The services wrote another text than the model in this process (`kind`, `prompt`, `detail`)."""

    reason = "TEXT_MISMATCH"

    def __init__(self, kind: str, prompt: str, detail: str) -> None:
        self.kind = kind
        self.prompt = prompt
        self.detail = detail
        message = (
            f"the answer to {kind} {prompt!r} through the services is not the one that the same model gave to this "
            f"process: {detail}. That is a defect of Paceline, please report it; what was measured is kept"
        )
        super().__init__(message, kind=kind, prompt=prompt, detail=detail)


def require_same_text(answer: Answer, text: ForeseenText, max_tokens: int) -> None:
    """Raise TextMismatchError unless a text can be that of an answer of at most `max_tokens` tokens.

    The text may be longer where the answer was cut at `max_tokens`. What the target accepted in each round must be
    where the draft agrees, but for the few places where a draft's own choice is not always the same.
    """
    num_tokens, agrees = len(answer.token_ids), text.agrees
    is_cut = num_tokens == max_tokens
    if len(agrees) < num_tokens or (len(agrees) > num_tokens and not is_cut):
        raise TextMismatchError(
            answer.kind, answer.prompt, f"it has {num_tokens} tokens, and not {len(agrees)}"
        )
    judged = [agrees[place] == is_accepted for place, is_accepted in _verdicts(answer) if place < num_tokens]
    num_different = judged.count(False)
    if num_different > max(1, _MOST_DIFFERENT * len(judged)):
        detail = f"{num_different} of {len(judged)} draft tokens were judged otherwise"
        raise TextMismatchError(answer.kind, answer.prompt, detail)


def _verdicts(answer: Answer) -> list[tuple[int, bool]]:
    """Return each place whose draft token was judged, and whether it was accepted."""
    verdicts: list[tuple[int, bool]] = []
    for one in rounds_of(answer):
        verdicts += [(one.place + offset, True) for offset in range(one.num_accepted)]
        if one.num_accepted < one.num_draft_tokens:
            verdicts.append((one.place + one.num_accepted, False))
    return verdicts
