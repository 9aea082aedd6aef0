"""What is worked out from the measurements for some rounds at a time, since it takes a while."""

from typing import NamedTuple

from orchestrator.draft_length import GAIN_TO_BEGIN, RoundForecast, best_draft_length
from orchestrator.round_forecast import (
    Partners,
    Supposition,
    extra_pass_seconds,
    forecast_round,
    has_seen_pass,
    pass_seconds,
    step_seconds,
)
from orchestrator.round_history import RoundHistory

# A proposal is waited for at least so many times as long as it is expected to take.
_EXPECTATIONS = 2.0
# And so many times as long as one takes of which nothing was drafted ahead.
_MISSES = 1.25
# So many sessions leave room in a pass for draft tokens that cost no wait.
_FEW_SESSIONS = 2
# Draft tokens where all sessions of a pair try some together.
LENGTH_TOGETHER = 2
_LONGEST_TRIAL = 4
# A longer trial than of one draft token is cheap if it costs less than so much of a round.
_CHEAP_TRIAL_ROUNDS = 0.4
# A trial waits for its draft tokens for so much of a pass, or for one and a half steps of the draft.
_TRIAL_WAIT_PASSES = 0.3
_TRIAL_WAIT_STEPS = 1.5
# Ids that a draft reads in the time of a step.
_IDS_PER_STEP = 16.0


class Trial(NamedTuple):
    """Draft tokens tried where none are expected to pay."""

    num_draft_tokens: int
    longest_wait_seconds: float
    cost_rounds: float  # in rounds without drafts
    refresh_rounds: float  # what bringing the draft up to the session costs the target besides
    is_promising: bool  # they would pay if what is not known well were better than it looks


class LengthStudy(NamedTuple):
    """The best length and what may be done beside it.

    Attributes:
        foretold: The forecast as it was made.
        forecast: The same, corrected by how forecasts have turned out.
        best: The length to use.
        best_if_ready: The length to use of draft tokens that are there already and need not be waited for.
        trial: What to try where it is 0; None where it is not.
        hangs_on_unseen_pass: Whether it is 0 because of what a pass is believed to take that nobody has seen, the one
            with the draft tokens of all sessions.
    """

    foretold: RoundForecast
    forecast: RoundForecast
    best: int
    best_if_ready: int
    trial: Trial | None
    hangs_on_unseen_pass: bool


def study_lengths(
    history: RoundHistory, partners: Partners, max_draft_tokens: int, present: int
) -> LengthStudy | None:
    """Return the study of the next rounds; None before anything was measured."""
    # A place that drafts do not reach now would otherwise be judged by its first few for ever.
    suppose = Supposition(optimistic_from=present or None)
    foretold = forecast_round(history, partners, max_draft_tokens, suppose)
    if foretold is None:
        return None
    forecast = history.pair.correction.corrected(foretold)
    best = best_draft_length(forecast, present)
    if best:
        return LengthStudy(
            foretold,
            forecast,
            best,
            _best_if_ready(forecast, best, partners.num_sessions),
            None,
            hangs_on_unseen_pass=False,
        )
    trial = _trial(history, partners, forecast)
    is_unknown = partners.num_sessions > 1 and not has_seen_pass(history, partners, LENGTH_TOGETHER)
    is_decisive = is_unknown and _would_pay(
        history, partners, max_draft_tokens, Supposition(is_pass_flat=True)
    )
    return LengthStudy(foretold, forecast, best, best, trial, hangs_on_unseen_pass=bool(is_decisive))


def _best_if_ready(forecast: RoundForecast, best: int, num_sessions: int) -> int:
    """Return the length at which a token more, though it is there, no longer brings more than its row costs.

    Where many sessions fill the passes, rows cost more than is known before they were tried.
    """
    if num_sessions > _FEW_SESSIONS:
        return best
    hop = forecast.draft_seconds[1]
    ready = forecast._replace(draft_seconds=[0.0, *([hop] * (len(forecast.tokens) - 1))])
    return max(best, ready.best())


def longest_wait(forecast: RoundForecast, num_draft_tokens: int) -> float:
    """Return how long waiting for a proposal costs no more than it brings, with room for what it usually takes.

    A length is chosen for what it brings with its misses waited for. Giving up on one would cost the wait and bring
    nothing, and the draft would be behind in the next round too.
    """
    gain = (forecast.tokens[num_draft_tokens] - 1.0) / forecast.rate(num_draft_tokens)
    miss = forecast.miss_seconds[num_draft_tokens] if forecast.miss_seconds else 0.0
    return max(gain, _EXPECTATIONS * forecast.draft_seconds[num_draft_tokens], _MISSES * miss)


def _would_pay(history: RoundHistory, partners: Partners, max_draft_tokens: int, suppose: Supposition) -> int:
    """Return the shortest length that would pay under a supposition; 0 where none would."""
    supposed = forecast_round(history, partners, max_draft_tokens, suppose)
    assert supposed is not None, "there is a forecast"
    supposed = history.pair.correction.corrected(supposed)
    enough = GAIN_TO_BEGIN * supposed.rate(0)
    return next((num for num in range(1, len(supposed.tokens)) if supposed.rate(num) > enough), 0)


def _trial(history: RoundHistory, partners: Partners, forecast: RoundForecast) -> Trial:
    """Return the shortest trial that promises to pay, else the longest that is cheap, else one of one draft token."""
    most, refresh = len(forecast.tokens) - 1, _refresh_rounds(partners, forecast)
    promising = _would_pay(history, partners, most, Supposition(optimistic_from=0))
    if promising:
        lost = forecast.rate(0) * (forecast.draft_seconds[promising] + forecast.target_seconds[promising])
        cost = max(0.0, lost - forecast.tokens[promising])
        return Trial(promising, longest_wait(forecast, promising), cost, refresh, is_promising=True)
    hop = partners.draft.hop.value if partners.draft is not None else 0.0
    step, alone = step_seconds(partners), forecast.target_seconds[0]
    wait = hop + max(_TRIAL_WAIT_PASSES * pass_seconds(history, partners, 0), _TRIAL_WAIT_STEPS * step)
    costs = [
        (hop + num * step + extra_pass_seconds(history, partners, num)) / alone
        for num in range(1, min(_LONGEST_TRIAL, most) + 1)
    ]
    num_cheap = max(1, sum(cost <= _CHEAP_TRIAL_ROUNDS for cost in costs))
    return Trial(num_cheap, wait, costs[num_cheap - 1], refresh, is_promising=False)


def _refresh_rounds(partners: Partners, forecast: RoundForecast) -> float:
    """Return what the ids that the draft lacks cost the target, in rounds without drafts: 0 on cores of its own."""
    if not (partners.pair.shares_cores and partners.draft_lag):
        return 0.0
    num_steps = partners.draft_lag / _IDS_PER_STEP
    return num_steps * step_seconds(partners) / forecast.target_seconds[0]
