"""Chooses the draft length of each round of one session."""

from typing import NamedTuple

from orchestrator.draft_length import DraftLength, Reason, RoundForecast, RoundOutlook, fixed_draft_length
from orchestrator.generation_task import SpeculationPlan
from orchestrator.length_explanation import explain
from orchestrator.length_study import LENGTH_TOGETHER, LengthStudy, Trial, longest_wait, study_lengths
from orchestrator.pair_record import PairRecord
from orchestrator.round_forecast import Partners, Supposition, forecast_round
from orchestrator.round_history import RoundHistory
from orchestrator.round_report import RoundReport
from orchestrator.rounds import DraftSource
from orchestrator.trial_schedule import Rest, TrialSchedule
from paceline.client.generation import DraftLengthChoice

_FIRST_LENGTH = 2
# A draft that is behind by more ids is brought up beside the rounds, before a round waits for it.
_LARGEST_LAG = 4
# The measurements are studied again after so many rounds, at first after each.
_STUDY_ROUNDS = 4
_FIRST_ROUNDS = 12
# An interlude without drafts costs the gain of so many rounds.
_INTERLUDE_COST_ROUNDS = 0.4
_SHORTEST_INTERLUDE = 3
_LONGEST_INTERLUDE = 16
# Whether drafting ahead pays is looked at so often, and the other way is gone for so many rounds now and then.
_AHEAD_CHOICE_ROUNDS = 8
_ROUNDS_THE_OTHER_WAY = 4
# Rounds of each session in which all try drafts together, some of which its draft takes to come up to it.
_ROUNDS_TOGETHER = 4


class DraftWish(NamedTuple):
    """What a round asks of its draft.

    Attributes:
        length: How many draft tokens.
        longest_wait_seconds: Waiting longer would cost more than the proposal brings; None where that is not known.
        is_refresh: The draft is only brought up to the session, and the round does not wait for it.
    """

    length: DraftLength
    longest_wait_seconds: float | None = None
    is_refresh: bool = False


NOTHING_WISHED = DraftWish(DraftLength(0, 0))


class DraftPlanner:
    """Keeps the session's history and asks the policies; fixed plans ignore it."""

    def __init__(self, plan: SpeculationPlan, max_ahead_tokens: int, max_ahead_guesses: int = 0) -> None:
        self._plan = plan
        self._max_ahead_tokens = max_ahead_tokens
        self._max_ahead_guesses = max_ahead_guesses
        self._drafter = DraftSource.MODEL  # whose tokens the history is of
        self._present = min(plan.num_draft_tokens, _FIRST_LENGTH)
        self._history: RoundHistory | None = None
        self._trials = TrialSchedule()
        self._partners: Partners | None = None  # of the latest round
        self._study: LengthStudy | None = None
        self._is_trial = self._is_to_study = self._is_overruled = False
        self._goes_ahead = True  # as far as the configuration lets it
        self._is_ahead = self._was_ahead = False  # in the latest round and in the one before

    def next_round(self, round_: int, num_remaining: int, partners: Partners) -> DraftWish:
        """Return what a round asks of the drafter."""
        wish = self._wish(round_, num_remaining, partners)
        partners.pair.pay.begin_round(
            partners.num_sessions,
            is_drafted=wish.length.num_draft_tokens > 0 or wish.length.max_ahead_tokens > 0,
        )
        return wish

    def _wish(self, round_: int, num_remaining: int, partners: Partners) -> DraftWish:
        self._partners, self._goes_ahead = partners, partners.pair.ahead.is_on
        self._is_overruled = False
        if not self._plan.is_adaptive:
            return DraftWish(self._length(round_, self._plan.num_draft_tokens, num_remaining))
        is_overruled = partners.pair.pay.is_overruled(partners.num_sessions)
        if round_ == 0 and (is_overruled or self._begins_alone(partners)):
            return NOTHING_WISHED  # not even the prompt
        if round_ == 0 or num_remaining == 1:
            return DraftWish(self._length(round_, self._present, num_remaining))
        self._drafter = DraftSource.MODEL if partners.draft is not None else DraftSource.PROMPT_LOOKUP
        history = self._history_with(partners.pair)
        self._is_trial = False
        study = self._studied(round_, history, partners)
        if study is None:
            return self._drafted(round_, num_remaining, partners, None)
        if is_overruled:
            return self._overruled(round_, num_remaining, partners, study)
        if study.trial is not None:
            return self._rest(round_, num_remaining, partners, study, study.trial)
        self._trials.reset()
        if self._is_interlude(partners, study.forecast):
            return DraftWish(self._length(round_, 0, num_remaining))
        self._choose_ahead(round_, history, partners, study.forecast)
        return self._drafted(round_, num_remaining, partners, longest_wait(study.forecast, study.best))

    def most_tokens(self, round_: int, num_remaining: int) -> int:
        """Return how many draft tokens a round may have where they cost no draft: as many as the plan allows."""
        return self._length(round_, self._plan.num_draft_tokens, num_remaining).num_draft_tokens

    def begin_predicted(self, num_draft_tokens: int, partners: Partners) -> DraftWish:
        """Take in that a round has tokens of a prediction and asks no draft; returns what `next_round` would."""
        self._partners, self._is_trial, self._is_ahead = partners, False, False
        return DraftWish(DraftLength(num_draft_tokens, 0))

    def note(self, report: RoundReport) -> None:
        """Take in a round that decoded; round 0, which fills caches, says nothing about the others."""
        was_ahead, self._was_ahead = self._was_ahead, self._is_ahead
        if self._partners is not None:
            self._partners.target.note(
                report.target_seconds,
                report.target_timing,
                self._partners.num_sessions,
                report.num_drafted,
                is_ahead=self._is_ahead,
            )
        history, study = self._history, self._study
        if history is None or (report.proposal is not None and report.proposal.drafter is not self._drafter):
            return
        history.note(report, was_ahead=was_ahead)
        if self._partners is not None:
            seconds = report.draft_seconds + report.target_seconds
            num_tokens = report.num_accepted + 1
            history.pair.pay.note(self._partners.num_sessions, report.num_drafted, num_tokens, seconds)
        if study is not None and not self._is_trial and report.target_timing.num_steps == 1:
            history.pair.correction.note_round(report, study.foretold)

    def choice(self) -> DraftLengthChoice:
        """Return the latest choice and why it was made."""
        ahead = self._max_ahead_tokens if self._goes_ahead else 0
        if not self._plan.num_draft_tokens:
            return DraftLengthChoice(0, 0, Reason.OFF)
        if not self._plan.is_adaptive:
            return DraftLengthChoice(self._plan.num_draft_tokens, ahead, Reason.FIXED)
        if self._history is None:
            return DraftLengthChoice(0, ahead, Reason.NOT_ENOUGH_TOKENS)
        if self._study is None:
            return DraftLengthChoice(self._present, ahead, Reason.NOT_MEASURED)
        assert self._partners is not None, "they were studied"
        present = 0 if self._is_overruled else self._present
        return explain(self._history, self._partners, self._study.forecast, present, ahead)

    def _history_with(self, pair: PairRecord) -> RoundHistory:
        if self._history is None or self._history.pair is not pair:
            can_go_ahead, self._study = self._max_ahead_tokens > 0, None
            self._history = RoundHistory(pair, self._plan.num_draft_tokens, can_go_ahead=can_go_ahead)
        return self._history

    def _studied(self, round_: int, history: RoundHistory, partners: Partners) -> LengthStudy | None:
        is_due = self._is_to_study or round_ < _FIRST_ROUNDS or round_ % _STUDY_ROUNDS == 0
        if self._study is None or is_due:
            self._is_to_study = False
            self._study = study_lengths(history, partners, self._plan.num_draft_tokens, self._present)
            if self._study is not None:
                self._present = self._study.best
        return self._study

    def _drafted(
        self, round_: int, num_remaining: int, partners: Partners, longest_wait_seconds: float | None
    ) -> DraftWish:
        """Ask for draft tokens, or have a draft that is far behind come up to the session beside the round."""
        is_behind, study = _is_behind(partners), self._study
        num_wanted = self._present if study is None or is_behind else study.best_if_ready
        length = self._length(round_, num_wanted, num_remaining, num_awaited=self._present)
        return DraftWish(length, longest_wait_seconds, is_behind)

    def _rest(
        self, round_: int, num_remaining: int, partners: Partners, study: LengthStudy, trial: Trial
    ) -> DraftWish:
        """Have the target decode alone, or try draft tokens where it is time and the draft is up to it."""
        if study.hangs_on_unseen_pass and partners.pair.together.next_round(
            partners.num_sessions, _ROUNDS_TOGETHER
        ):
            return self._together(round_, num_remaining, partners, study)
        rest = self._trials.next_round(
            partners.draft_lag,
            trial.cost_rounds,
            partners.num_sessions,
            is_promising=trial.is_promising,
            refresh_rounds=trial.refresh_rounds,
        )
        if rest is Rest.TRY:
            self._is_trial = self._is_to_study = True
            length = self._length(round_, trial.num_draft_tokens, num_remaining)
            return DraftWish(length, trial.longest_wait_seconds)
        if rest is Rest.REFRESH:
            return DraftWish(self._length(0, trial.num_draft_tokens, num_remaining), is_refresh=True)
        return DraftWish(self._length(round_, 0, num_remaining))

    def _overruled(
        self, round_: int, num_remaining: int, partners: Partners, study: LengthStudy
    ) -> DraftWish:
        """Have the target decode alone against the forecast, but for rounds in which all sessions try together."""
        self._is_overruled = True
        if partners.pair.pay.trials.next_round(partners.num_sessions, _ROUNDS_TOGETHER):
            return self._together(round_, num_remaining, partners, study)
        return DraftWish(self._length(round_, 0, num_remaining))

    @staticmethod
    def _begins_alone(partners: Partners) -> bool:
        """Whether not even the prompt goes to a draft that takes its target's time while nobody uses it."""
        return partners.pair.shares_cores and partners.pair.pay.begins_alone(partners.num_sessions)

    def _together(self, round_: int, num_remaining: int, partners: Partners, study: LengthStudy) -> DraftWish:
        """Draft as all sessions of the pair do now, to see what a pass with the rows of all takes."""
        num = min(LENGTH_TOGETHER, self._plan.num_draft_tokens)
        if _is_behind(partners):
            return DraftWish(self._length(0, num, num_remaining), is_refresh=True)
        return DraftWish(self._length(round_, num, num_remaining), longest_wait(study.forecast, num))

    def _choose_ahead(
        self, round_: int, history: RoundHistory, partners: Partners, forecast: RoundForecast
    ) -> None:
        """Decide whether the draft goes ahead in this round, and now and then whether it does from now on."""
        if not history.can_go_ahead or partners.draft is None:
            return
        ahead = history.pair.ahead
        if round_ % _AHEAD_CHOICE_ROUNDS == 0 and partners.target.knows_both_ways:
            suppose = Supposition(is_other_way=True)
            other = forecast_round(history, partners, self._plan.num_draft_tokens, suppose)
            assert other is not None, "there is a forecast"
            other = history.pair.correction.corrected(other)
            ahead.choose(forecast.rate(self._present), other.rate(self._present))
        is_interlude = ahead.interludes.next_round(partners.num_sessions, _ROUNDS_THE_OTHER_WAY)
        self._goes_ahead = ahead.is_on != is_interlude

    def _is_interlude(self, partners: Partners, forecast: RoundForecast) -> bool:
        """Whether the round is to show what the target alone would do; the less drafts gain, the less that costs."""
        gain = max(0.0, 1.0 - forecast.rate(0) / forecast.rate(self._present))
        num_rounds = int(_INTERLUDE_COST_ROUNDS / gain) if gain > 0 else _LONGEST_INTERLUDE
        least = max(_SHORTEST_INTERLUDE, partners.pair.pay.rounds_to_judge(partners.num_sessions))
        num_rounds = min(max(num_rounds, least), _LONGEST_INTERLUDE)
        return partners.pair.alone.next_round(partners.num_sessions, num_rounds)

    def _length(
        self, round_: int, num_wanted: int, num_remaining: int, num_awaited: int | None = None
    ) -> DraftLength:
        max_ahead = self._max_ahead_tokens if self._goes_ahead else 0
        length = fixed_draft_length(
            RoundOutlook(round_, num_wanted, num_remaining, max_ahead, num_awaited, self._max_ahead_guesses)
        )
        self._is_ahead = length.max_ahead_tokens > 0
        return length


def _is_behind(partners: Partners) -> bool:
    return partners.draft_lag is None or partners.draft_lag > _LARGEST_LAG
