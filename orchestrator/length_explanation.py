"""Why a draft length was chosen, for the summary of a generation."""

from orchestrator.draft_length import GAIN_TO_BEGIN, Reason, RoundForecast
from orchestrator.round_forecast import Partners, Supposition, forecast_round, pass_seconds
from orchestrator.round_history import RoundHistory
from paceline.client.generation import DraftLengthChoice

# A draft whose tokens are accepted so often is a good one.
_GOOD_ACCEPTANCE = 0.9

# What would have to be otherwise for draft tokens to pay, and the word for it.
_CAUSES = (
    (Reason.BATCH_FULL, Supposition(is_alone=True)),
    (Reason.DRAFT_TOO_SLOW, Supposition(is_draft_free=True)),
    (Reason.DRAFT_REFUSED_TOO_OFTEN, Supposition(acceptance=_GOOD_ACCEPTANCE)),
)


def explain(
    history: RoundHistory, partners: Partners, forecast: RoundForecast, chosen: int, max_ahead_tokens: int
) -> DraftLengthChoice:
    """Return a choice with what it was made from; where no draft token was chosen, with the best length there was."""
    lengths = range(1, len(forecast.tokens))
    reported = chosen or max(lengths, key=forecast.rate, default=0)
    reason = Reason.PAYS if chosen else _cause(history, partners, len(lengths))
    return DraftLengthChoice(
        chosen,
        max_ahead_tokens,
        reason,
        history.acceptance.estimates(1)[0],
        forecast.tokens[reported],
        forecast.rate(reported),
        forecast.rate(0),
        forecast.draft_seconds[reported],
        pass_seconds(history, partners, reported),
        reported,
    )


def _cause(history: RoundHistory, partners: Partners, max_draft_tokens: int) -> Reason:
    """Return what, if it were otherwise, would let draft tokens pay most."""
    gains: dict[Reason, float] = {}
    for reason, suppose in _CAUSES:
        supposed = forecast_round(history, partners, max_draft_tokens, suppose)
        if supposed is not None:
            gains[reason] = supposed.rate(supposed.best()) / supposed.rate(0)
    best = max(gains, key=gains.__getitem__, default=Reason.TARGET_ONLY_FASTER)
    return best if gains.get(best, 0.0) > GAIN_TO_BEGIN else Reason.TARGET_ONLY_FASTER
