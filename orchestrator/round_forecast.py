"""What the next round of a session would bring and take at each draft length, from what has been measured."""

from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.draft_length import RoundForecast, chances_all_accepted, expected_tokens
from orchestrator.pair_record import PairRecord
from orchestrator.replica_pace import Batch, DraftPace, TargetPace
from orchestrator.round_history import RoundHistory

# Before a draft was measured a step of it is taken for this share of a pass with one row.
_PRIOR_STEP = 0.2


class Partners(NamedTuple):
    """Whom a session works with in a round.

    Attributes:
        target: The target's pace.
        num_sessions: Sessions that are bound to the target, this one included.
        draft: The draft's pace; None where draft tokens cost no time, as those of prompt lookup.
        draft_lag: Ids that the draft's cache is behind; None while it is being brought up.
        pair: What is known of the target with this drafter.
    """

    target: TargetPace
    num_sessions: int
    draft: DraftPace | None
    draft_lag: int | None
    pair: PairRecord


class Supposition(NamedTuple):
    """What to suppose instead of what has been measured, to find out what a decision hangs on.

    Attributes:
        is_draft_free: The draft takes no time.
        is_alone: The session is alone in its pass.
        is_pass_flat: Rows cost nothing.
        acceptance: Of each draft token.
        optimistic_from: Place from which acceptance, and with 0 hits too, is as good as it may well be.
        is_other_way: The draft goes ahead where it does not now, or does not where it does.
    """

    is_draft_free: bool = False
    is_alone: bool = False
    is_pass_flat: bool = False
    acceptance: float | None = None
    optimistic_from: int | None = None
    is_other_way: bool = False


MEASURED = Supposition()
_ALONE = Batch(1.0, 0.0)
# Seconds spared are extrapolated, and never more than this share of a round's.
_MOST_SPARED = 0.8


def forecast_round(
    history: RoundHistory, partners: Partners, max_draft_tokens: int, suppose: Supposition = MEASURED
) -> RoundForecast | None:
    """Return the forecast for 0 to `max_draft_tokens` draft tokens; None before the target's first pass was seen.

    Rows are those of the whole pass *if every session in it adds as many draft tokens as this one*: extra rows seem
    free to each session of a batch, and together they are not. With equal sessions the length that is best for one is
    then the best for all of them; sessions that differ start from the rows that each really has. Others that have no
    draft token to give up are spared seconds where this session gives one up.
    """
    if not partners.target.is_known:
        return None
    acceptances = _acceptances(history, max_draft_tokens, suppose)
    is_ahead = history.can_go_ahead and history.pair.ahead.is_on != suppose.is_other_way
    availability = history.pair.correction.availability.value
    tokens = [1.0 + availability * (one - 1.0) for one in expected_tokens(acceptances)]
    target_seconds, spared_seconds = _target_seconds(
        history, partners, max_draft_tokens, suppose, is_ahead=is_ahead
    )
    if partners.draft is None or suppose.is_draft_free:
        return RoundForecast(tokens, [0.0] * len(tokens), target_seconds, spared_seconds)
    chances = chances_all_accepted(acceptances)
    hits = [
        history.hits.share(chance, is_optimistic=suppose.optimistic_from == 0) if is_ahead else 0.0
        for chance in chances
    ]
    draft_seconds, miss_seconds = _draft_seconds(history, partners, hits, target_seconds)
    return RoundForecast(tokens, draft_seconds, target_seconds, spared_seconds, miss_seconds)


def pass_seconds(history: RoundHistory, partners: Partners, num_draft_tokens: int) -> float:
    """Return the seconds of the forward pass of a round."""
    is_drafted = num_draft_tokens > 0
    is_ahead = is_drafted and history.can_go_ahead and history.pair.ahead.is_on
    batch = partners.target.batch(partners.num_sessions, is_drafted=is_drafted)
    rows = _rows(history, batch.num_sessions, num_draft_tokens)
    return partners.target.curve(is_ahead=is_ahead).seconds(rows)


def has_seen_pass(history: RoundHistory, partners: Partners, num_draft_tokens: int) -> bool:
    """Return whether passes were seen with about as many rows as those of a round would have."""
    batch = partners.target.batch(partners.num_sessions, is_drafted=True)
    return partners.target.has_seen(_rows(history, batch.num_sessions, num_draft_tokens))


def extra_pass_seconds(history: RoundHistory, partners: Partners, num_draft_tokens: int) -> float:
    """Return the seconds that draft tokens of this session alone would cost all sessions of its pass together."""
    curve = partners.target.curve(is_ahead=False)
    batch = partners.target.batch(partners.num_sessions, is_drafted=False)
    rows = _rows(history, batch.num_sessions, 0)
    return batch.num_sessions * (curve.seconds(rows + num_draft_tokens) - curve.seconds(rows))


def step_seconds(partners: Partners) -> float:
    """Return the seconds of a draft's step."""
    draft = partners.draft
    if draft is None:
        return 0.0
    return (
        draft.step.value if draft.is_known else _PRIOR_STEP * partners.target.curve(is_ahead=False).seconds(1)
    )


def _acceptances(history: RoundHistory, max_draft_tokens: int, suppose: Supposition) -> Sequence[float]:
    if suppose.acceptance is not None:
        return [suppose.acceptance] * max_draft_tokens
    estimates = history.acceptance.estimates(max_draft_tokens)
    if suppose.optimistic_from is None or suppose.optimistic_from >= max_draft_tokens:
        return estimates
    place = suppose.optimistic_from
    return [*estimates[:place], *history.acceptance.optimistic(max_draft_tokens)[place:]]


def _rows(history: RoundHistory, num_sessions: float, num_draft_tokens: int) -> float:
    rows_of_others = max(1.0, 1.0 + num_draft_tokens + history.num_more_rows_of_others)
    return 1.0 + num_draft_tokens + (num_sessions - 1.0) * rows_of_others


def _target_seconds(
    history: RoundHistory, partners: Partners, max_draft_tokens: int, suppose: Supposition, *, is_ahead: bool
) -> tuple[list[float], list[float]]:
    """Return the seconds of a verdict for 0 to `max_draft_tokens` draft tokens, and those that others are spared."""
    target, hop = partners.target, partners.target.hop.value
    seconds: list[float] = []
    spared: list[float] = []
    for is_drafted in (False, True):
        batch = _ALONE if suppose.is_alone else target.batch(partners.num_sessions, is_drafted=is_drafted)
        curve, num_passes = target.curve(is_ahead=is_drafted and is_ahead), 1.0 + batch.queue_share
        num_others = batch.num_sessions - 1.0
        for length in range(1, max_draft_tokens + 1) if is_drafted else (0,):
            rows = _rows(history, batch.num_sessions, length)
            pass_ = curve.seconds(rows)
            num_spared = num_others * max(0.0, -length - history.num_more_rows_of_others)
            spare = curve.seconds(rows + num_spared) - pass_ if num_spared else 0.0
            seconds.append(hop + num_passes * pass_)
            spared.append(min(num_passes * spare, _MOST_SPARED * seconds[-1]))
    if suppose.is_pass_flat:
        return [seconds[0]] * len(seconds), [0.0] * len(seconds)
    return seconds, spared


def _draft_seconds(
    history: RoundHistory, partners: Partners, hits: Sequence[float], target_seconds: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Return how long a proposal is waited for, and where it is no hit; at place K with K tokens, a hit so often."""
    draft = partners.draft
    assert draft is not None
    hop = draft.hop.value if draft.is_known else partners.target.hop.value
    queue, step, covered = draft.queue.value, step_seconds(partners), history.hits.num_covered.value
    waits, misses = [0.0], [0.0]
    for length in range(1, len(hits)):
        # While the target verifies, the draft first guesses the bonus token and then goes on.
        num_drawn = target_seconds[length] / step - 1.0 if step > 0 else length
        uncovered = max(0.0, length - max(0.0, min(num_drawn, covered)))
        drawn = queue + length * step
        waits.append(hop + (1.0 - hits[length]) * drawn + hits[length] * uncovered * step)
        misses.append(hop + drawn)
    return waits, misses
