"""What an orchestrator counts and times of its rounds and generations."""

from collections.abc import Callable, Mapping, Sequence

from orchestrator.draft_length import Reason
from orchestrator.finished_round import FinishedRound
from orchestrator.pool import DraftPool, TargetPool
from paceline.client.generation import FinishReason, GenerationSummary, TokenOrigin
from paceline.client.orchestrator_totals import OrchestratorTotals
from paceline.telemetry import catalogue
from paceline.telemetry.metrics import Counter, Family, Labels, Metrics

_PAYS = Reason.PAYS.lower()
_FINISH_REASONS = {reason.lower() for reason in FinishReason}


class OrchestratorMetrics:
    """The metrics of one orchestrator."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        counter, histogram = metrics.counter, metrics.histogram
        self._request_seconds = histogram(catalogue.REQUEST_DURATION)
        self._first_token_seconds = histogram(catalogue.TIME_TO_FIRST_TOKEN)
        self._token_seconds = histogram(catalogue.TIME_PER_OUTPUT_TOKEN)
        self._prompt_tokens = counter(catalogue.PROMPT_TOKENS).labelled()
        self._cached_prompt_tokens = counter(catalogue.CACHED_PROMPT_TOKENS).labelled()
        self._generation_tokens = counter(catalogue.GENERATION_TOKENS)
        self._finished = counter(catalogue.FINISHED_GENERATIONS)
        self._round_seconds = histogram(catalogue.ROUND_DURATION)
        self._part_seconds = histogram(catalogue.ROUND_PART_DURATION)
        self._drafts = counter(catalogue.NUM_DRAFTS).labelled()
        self._draft_tokens = counter(catalogue.NUM_DRAFT_TOKENS).labelled()
        self._accepted_tokens = counter(catalogue.NUM_ACCEPTED_TOKENS).labelled()
        self._draft_tokens_per_pos = _PerPosition(counter(catalogue.NUM_DRAFT_TOKENS_PER_POS))
        self._accepted_tokens_per_pos = _PerPosition(counter(catalogue.NUM_ACCEPTED_TOKENS_PER_POS))
        self._draft_length = histogram(catalogue.DRAFT_LENGTH).labelled()
        self._proposals = counter(catalogue.PROPOSALS)
        self._ahead_tokens = counter(catalogue.AHEAD_TOKENS).labelled()
        self._dropped_tokens = counter(catalogue.DROPPED_AHEAD_TOKENS).labelled()
        self._degraded = counter(catalogue.DEGRADED_ROUNDS)
        self._speedup = histogram(catalogue.SPECULATION_SPEEDUP)
        self._failovers = counter(catalogue.FAILOVERS)
        self._failover_seconds = histogram(catalogue.FAILOVER_PART_DURATION)
        self._restored = counter(catalogue.RESTORED_SESSIONS).labelled()
        self._lost_leases = counter(catalogue.LOST_LEASES).labelled()
        self._refused = counter(catalogue.REFUSED_CALLS)
        self._tenant_tokens = counter(catalogue.TENANT_TOKENS)
        self._wait_seconds = histogram(catalogue.PLACE_WAIT_DURATION)
        self.num_in_prefill = self.num_decoding = 0
        metrics.observe(
            catalogue.NUM_SESSIONS,
            lambda: {("prefill",): self.num_in_prefill, ("decoding",): self.num_decoding},
        )

    @property
    def num_running(self) -> int:
        """Generations that have not ended."""
        return self.num_in_prefill + self.num_decoding

    def observe_pools(self, targets: TargetPool, drafts: DraftPool) -> None:
        """Have the replicas counted whenever metrics leave."""
        self._metrics.observe(
            catalogue.REPLICAS, lambda: {**_counts("target", targets), **_counts("draft", drafts)}
        )

    def observe_line(self, num_waiting_by_tenant: Callable[[], Mapping[str, int]]) -> None:
        """Have the requests that wait for a place counted whenever metrics leave."""
        self._metrics.observe(
            catalogue.WAITING_REQUESTS,
            lambda: {(name,): num for name, num in num_waiting_by_tenant().items()},
        )

    def totals(self) -> OrchestratorTotals:
        """Return what has been counted since the start."""
        ended = _values(self._finished)
        finished = {reason: num for reason, num in ended.items() if reason in _FINISH_REASONS}
        speedups = {reason: (sum(one.counts), one.sum) for (reason,), one in self._speedup.series()}
        return OrchestratorTotals(
            num_generations=self.num_running + sum(ended.values()),
            num_finished_generations=finished,
            num_failed_generations={reason: num for reason, num in ended.items() if reason not in finished},
            num_prompt_tokens=self._prompt_tokens.value,
            num_tokens_by_origin=_values(self._generation_tokens),
            num_rounds_by_drafter={
                drafter: sum(one.counts) for (drafter,), one in self._round_seconds.series()
            },
            num_draft_tokens=self._draft_tokens.value,
            num_accepted_tokens=self._accepted_tokens.value,
            num_proposals_by_ahead_outcome=_values(self._proposals),
            num_degraded_rounds=_values(self._degraded),
            num_failovers=_values(self._failovers),
            round_seconds_by_part={part: one.sum for (part,), one in self._part_seconds.series()},
            num_speedup_estimates=sum(num for num, _ in speedups.values()),
            # A generation that chose no draft tokens was as fast as the target alone, whatever they would have done.
            speedup_sum=sum(total if reason == _PAYS else num for reason, (num, total) in speedups.items()),
        )

    def note_round(self, round_: FinishedRound) -> None:
        """Take in a round."""
        self._round_seconds.labelled(round_.drafter).record(round_.seconds)
        for part, seconds in round_.parts():
            self._part_seconds.labelled(part).record(seconds)
        self._note_draft(round_)
        self._note_tokens(round_)
        for reason in round_.failovers:
            self._failovers.labelled(reason).add()

    def note_summary(self, model: str, summary: GenerationSummary) -> None:
        """Take in a generation that went well."""
        usage, timing, choice = summary.usage, summary.timing, summary.speculation.choice
        self._prompt_tokens.add(usage.num_prompt_tokens)
        self._cached_prompt_tokens.add(usage.num_cached_prompt_tokens)
        self._first_token_seconds.labelled(model).record(timing.time_to_first_token_seconds)
        if usage.num_completion_tokens > 1:
            self._token_seconds.labelled(model).record(timing.time_per_output_token_seconds)
        self._finished.labelled(summary.finish_reason.lower()).add()
        if choice is not None and choice.target_only_tokens_per_second:
            speedup = choice.tokens_per_second / choice.target_only_tokens_per_second
            self._speedup.labelled(choice.reason.lower()).record(speedup)
        recovery = summary.recovery
        if recovery.num_failovers:
            self._failover_seconds.labelled("detection").record(recovery.detection_seconds)
            self._failover_seconds.labelled("takeover").record(recovery.takeover_seconds)
            self._failover_seconds.labelled("rebuild").record(recovery.rebuild_seconds)
        self._restored.add(recovery.num_restored_records)

    def note_failure(self, reason: str) -> None:
        """Take in a generation that ended with an error of this reason."""
        self._finished.labelled(reason).add()

    def note_request(self, model: str, error_reason: str, seconds: float) -> None:
        """Take in the end of a request; the reason is empty where it went well."""
        self._request_seconds.labelled(model, error_reason).record(seconds)

    def note_refusal(self, tenant: str, reason: str) -> None:
        """Take in a call that was refused because of who sent it, or because too much was asked."""
        self._refused.labelled(tenant, reason).add()

    def note_tenant_tokens(self, tenant: str, kind: str, num_tokens: int) -> None:
        """Take in tokens that a tenant's request uses."""
        self._tenant_tokens.labelled(tenant, kind).add(num_tokens)

    def note_wait(self, tenant: str, seconds: float) -> None:
        """Take in how long a request waited for a place, whether it got one or not."""
        self._wait_seconds.labelled(tenant).record(seconds)

    def note_lost_lease(self) -> None:
        """Take in a session that somebody else has taken."""
        self._lost_leases.add()

    def _note_draft(self, round_: FinishedRound) -> None:
        self._draft_length.record(round_.num_wanted)
        if round_.degraded_reason:
            self._degraded.labelled(round_.degraded_reason).add()
        if round_.ahead_outcome:
            self._proposals.labelled(round_.ahead_outcome).add()
        self._ahead_tokens.add(round_.num_ahead)
        self._dropped_tokens.add(round_.num_dropped)

    def _note_tokens(self, round_: FinishedRound) -> None:
        num_drafted, num_accepted = round_.num_drafted, round_.num_accepted
        num_kept = min(num_accepted, round_.num_tokens)
        self._generation_tokens.labelled(round_.own_origin).add(round_.num_tokens - num_kept)
        if not num_drafted:
            return
        self._generation_tokens.labelled(TokenOrigin.ACCEPTED).add(num_kept)
        self._drafts.add()
        self._draft_tokens.add(num_drafted)
        self._accepted_tokens.add(num_accepted)
        self._draft_tokens_per_pos.add(num_drafted)
        self._accepted_tokens_per_pos.add(num_accepted)


class _PerPosition:
    """A counter for each place of a proposal."""

    def __init__(self, family: Family[Counter]) -> None:
        self._family = family
        self._counters: list[Counter] = []

    def add(self, num_positions: int) -> None:
        """Add one at each of the first places."""
        while len(self._counters) < num_positions:
            self._counters.append(self._family.labelled(str(len(self._counters))))
        for counter in self._counters[:num_positions]:
            counter.value += 1


def _values(family: Family[Counter]) -> dict[str, int]:
    """Return what the counters of a family with one label are at, those that count something."""
    return {value: counter.value for (value,), counter in family.series() if counter.value}


def _counts(pool: str, replicas: TargetPool | DraftPool) -> Mapping[Labels, float]:
    usable: Sequence[bool] = [one.is_usable for one in replicas.replicas]
    return {(pool, "usable"): sum(usable), (pool, "not_usable"): len(usable) - sum(usable)}
