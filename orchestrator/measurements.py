"""What a generation measures of itself, for its summary."""

import time
from collections import Counter
from typing import NamedTuple

from orchestrator.rounds import DraftSource, Proposal, RoundTiming, Verdict
from orchestrator.session_draft import NoProposal
from orchestrator.stopping import Finish
from paceline.client.generation import (
    ChunkTiming,
    GenerationSummary,
    GenerationTiming,
    SpeculationSummary,
    TokenChunk,
    TokenOrigin,
    Usage,
)


class TimeSplit(NamedTuple):
    """Seconds of a round trip, by where they went."""

    compute: float
    queue: float
    network: float


def split_time(elapsed: float, timing: RoundTiming) -> TimeSplit:
    """Split the seconds that a round waited for a replica; what the replica did before does not count.

    Example: waited 5 ms for an answer that took 3 ms of computing and 1 ms in the queue -> network 1 ms.
    """
    compute = min(timing.compute_seconds, elapsed)
    queue = min(timing.queue_seconds, elapsed - compute)
    return TimeSplit(compute, queue, elapsed - compute - queue)


class Lap(NamedTuple):
    """What the rounds since the chunk before came to: where their time went, and draft tokens that were judged."""

    timing: ChunkTiming | None
    num_draft_tokens: int


NO_LAP = Lap(None, 0)


class Measurements:
    """Counts and seconds of one generation since its request was received, on the monotonic clock."""

    def __init__(self, received_at: float) -> None:
        self._received_at = received_at
        self._first_sent_at: float | None = None
        self._num_rounds = 0
        self._num_draft_tokens = 0
        self._num_accepted_tokens = 0
        self._num_ahead_tokens = 0
        self._num_dropped_tokens = 0
        self._num_accepted_prediction_tokens = 0
        self._num_rejected_prediction_tokens = 0
        self._num_proposals_by_ahead_outcome: Counter[str] = Counter()
        self._num_cached_prompt_tokens = 0
        self._num_drafted_per_position: Counter[int] = Counter()
        self._num_accepted_per_position: Counter[int] = Counter()
        self._num_degraded_rounds: Counter[str] = Counter()
        self._num_rounds_by_drafter: Counter[str] = Counter()
        self._num_rounds_per_draft_length: Counter[int] = Counter()
        self._draft_seconds = 0.0
        self._verify_seconds = 0.0
        self._queue_seconds = 0.0
        self._network_seconds = 0.0
        self._commit_seconds = 0.0
        self._num_sent_tokens = 0
        self._before_lap = (0.0, 0.0, 0.0, 0.0, 0.0, 0)

    def note_proposal(self, elapsed: float, outcome: Proposal | NoProposal) -> None:
        """Note what a round that wanted a draft got, and how many seconds it waited for it."""
        if isinstance(outcome, NoProposal):
            self._num_degraded_rounds[outcome.reason] += 1
            self._network_seconds += elapsed
            return
        split = split_time(elapsed, outcome.timing)
        self._draft_seconds += split.compute
        self._queue_seconds += split.queue
        self._network_seconds += split.network
        self._num_ahead_tokens += outcome.num_ahead_tokens
        self._num_dropped_tokens += outcome.num_dropped_tokens
        if outcome.ahead_outcome:
            self._num_proposals_by_ahead_outcome[outcome.ahead_outcome] += 1

    def note_drafter(self, num_draft_tokens: int, proposal: Proposal | None) -> None:
        """Note how many draft tokens a round asked for, and where those that it got came from."""
        self._num_rounds_per_draft_length[num_draft_tokens] += 1
        self._num_rounds_by_drafter[proposal.drafter if proposal is not None else DraftSource.NONE] += 1

    def note_verdict(self, elapsed: float, proposal: Proposal | None, verdict: Verdict) -> None:
        """Note a verdict on a proposal, and how many seconds the round waited for it."""
        num_draft_ids = len(proposal.draft_ids) if proposal is not None else 0
        if proposal is not None and proposal.drafter is DraftSource.PREDICTION:
            self._num_accepted_prediction_tokens += verdict.num_accepted
            self._num_rejected_prediction_tokens += num_draft_ids - verdict.num_accepted
        split = split_time(elapsed, verdict.timing)
        self._verify_seconds += split.compute
        self._queue_seconds += split.queue
        self._network_seconds += split.network
        if self._num_rounds == 0:
            self._num_cached_prompt_tokens = verdict.timing.num_cached_tokens
        self._num_rounds += 1
        self._num_draft_tokens += num_draft_ids
        self._num_accepted_tokens += verdict.num_accepted
        self._num_drafted_per_position.update(range(num_draft_ids))
        self._num_accepted_per_position.update(range(verdict.num_accepted))

    def note_commit(self, elapsed: float) -> None:
        """Note how many seconds the rounds waited for Redis."""
        self._commit_seconds += elapsed

    def lap(self) -> Lap:
        """Return what has been noted since the last call; all laps add up to the summary."""
        draft, network, queue, verify, commit, num_draft_tokens = self._before_lap
        timing = ChunkTiming(
            self._draft_seconds - draft,
            self._network_seconds - network,
            self._queue_seconds - queue,
            self._verify_seconds - verify,
            self._commit_seconds - commit,
        )
        self._before_lap = (
            self._draft_seconds,
            self._network_seconds,
            self._queue_seconds,
            self._verify_seconds,
            self._commit_seconds,
            self._num_draft_tokens,
        )
        return Lap(timing, self._num_draft_tokens - num_draft_tokens)

    def note_sent(self, chunk: TokenChunk) -> None:
        """Note that tokens are about to be sent."""
        self._num_sent_tokens += sum(one.origin is not TokenOrigin.PROMPT for one in chunk.tokens)
        if self._first_sent_at is None:
            self._first_sent_at = time.monotonic()

    def summary(
        self, finish: Finish, num_prompt_tokens: int, num_completion_tokens: int
    ) -> GenerationSummary:
        """Return the summary of a generation that ends now."""
        usage = Usage(
            num_prompt_tokens, num_completion_tokens, min(self._num_cached_prompt_tokens, num_prompt_tokens)
        )
        return GenerationSummary(
            finish.reason,
            usage,
            self._speculation(),
            self._timing(),
            finish.stop_text,
            finish.stop_id,
        )

    def _speculation(self) -> SpeculationSummary:
        places = range(len(self._num_drafted_per_position))
        longest = max(self._num_rounds_per_draft_length, default=-1)
        return SpeculationSummary(
            self._num_rounds,
            self._num_draft_tokens,
            self._num_accepted_tokens,
            tuple(self._num_drafted_per_position[place] for place in places),
            tuple(self._num_accepted_per_position[place] for place in places),
            self._num_ahead_tokens,
            dict(self._num_degraded_rounds),
            {str(drafter): num for drafter, num in self._num_rounds_by_drafter.items()},
            tuple(self._num_rounds_per_draft_length[length] for length in range(longest + 1)),
            num_proposals_by_ahead_outcome=dict(self._num_proposals_by_ahead_outcome),
            num_dropped_tokens=self._num_dropped_tokens,
            num_accepted_prediction_tokens=self._num_accepted_prediction_tokens,
            num_rejected_prediction_tokens=self._num_rejected_prediction_tokens,
        )

    def _timing(self) -> GenerationTiming:
        now = time.monotonic()
        first_sent_at = (
            self._first_sent_at if self._first_sent_at is not None else now
        )  # nothing was left to send
        num_later_tokens = max(0, self._num_sent_tokens - 1)
        return GenerationTiming(
            first_sent_at - self._received_at,
            (now - first_sent_at) / num_later_tokens if num_later_tokens else 0.0,
            now - self._received_at,
            self._draft_seconds,
            self._verify_seconds,
            self._queue_seconds,
            self._network_seconds,
            self._commit_seconds,
        )
