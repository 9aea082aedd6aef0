"""What a load came to: counts in, rates out."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.simulation.histogram import Histogram
from benchmarks.simulation.load_plan import Generation, LoadResult
from benchmarks.simulation.settings import Settings


@dataclass(frozen=True)
class Consumption:
    """What the real parts used while a load counted.

    Attributes:
        start_cpu_seconds: CPU of all orchestrators from a load's beginning until its sessions had got tokens.
        seconds: How long it counted.
        orchestrator_cpu_seconds, replica_cpu_seconds, client_cpu_seconds, redis_cpu_seconds: Of all such processes.
        orchestrator_bytes: Resident memory of all orchestrators at the end.
        num_redis_commands: Commands that Redis processed, those that scripts call included.
        redis_bytes_per_session: Memory of one session's keys; None where there is no session.
    """

    start_cpu_seconds: float
    seconds: float
    orchestrator_cpu_seconds: float
    replica_cpu_seconds: float
    client_cpu_seconds: float
    redis_cpu_seconds: float
    orchestrator_bytes: int
    num_redis_commands: int
    redis_bytes_per_session: float | None


@dataclass(frozen=True)
class Outcome:
    """One load. `simulated` figures are of the simulated clock, all others of the real one.

    Attributes:
        tokens_per_second: Simulated, all sessions.
        round_ms_p50, round_ms_p99: Simulated, from chunk to chunk of a session.
        rounds_per_second: Real, all sessions.
        outside_ms: Real: a round's time without the models, without waiting for passes that serve others, and without
            the emulated distance; the median of the generations' means. None where no generation ended in time.
        commit_ms: The part of it that waited for Redis.
        start_cpu_ms: Real: orchestrators' CPU for each session until all had got tokens, the rounds that others had
            meanwhile included.
        orchestrator_cpu_ms, redis_cpu_ms: Real, of one round.
        orchestrator_cores, replica_cores, client_cores: CPU seconds a second: what was busy.
        orchestrator_mib: Resident memory of all orchestrators.
        redis_commands_per_round, redis_commands_per_second, redis_bytes_per_session: What Redis had to do and to keep.
        acceptance: Of draft tokens whose predecessors were accepted.
        tokens_per_round: All rounds, the first one of each generation included.
        draft_ms, verify_ms, queue_ms: Simulated: the means of a round's waiting for draft, target and their queues.
        num_begun_sessions: Sessions that had got tokens when the load began to count: all, or it was not waited longer.
        num_open_sessions: Sessions with an open stream at the end.
        prompt_tokens: Mean length of the prompts of those generations.
        num_generations: Generations that ended while it counted.
        failures: Calls that failed, by what was said.
    """

    tokens_per_second: float
    round_ms_p50: float | None
    round_ms_p99: float | None
    rounds_per_second: float
    outside_ms: float | None
    commit_ms: float | None
    start_cpu_ms: float
    orchestrator_cpu_ms: float
    redis_cpu_ms: float
    orchestrator_cores: float
    replica_cores: float
    client_cores: float
    orchestrator_mib: float
    redis_commands_per_round: float
    redis_commands_per_second: float
    redis_bytes_per_session: float | None
    acceptance: float | None
    tokens_per_round: float | None
    draft_ms: float | None
    verify_ms: float | None
    queue_ms: float | None
    num_begun_sessions: int
    num_open_sessions: int
    prompt_tokens: float | None
    num_generations: int
    failures: dict[str, int]


def outcome_of(
    settings: Settings, results: Sequence[LoadResult], used: Consumption, num_begun_sessions: int
) -> Outcome:
    """Return what all clients saw and all processes used, after so many sessions had begun."""
    dilation, rounds_seen = settings.dilation, sum(one.num_rounds for one in results)
    num_tokens, num_rounds = sum(one.num_tokens for one in results), max(1, rounds_seen)
    rounds = Histogram.sum_of(one.round_seconds for one in results)
    generations = [generation for one in results for generation in one.generations]
    p50, p99 = rounds.percentile(0.5), rounds.percentile(0.99)
    outside = [_outside_seconds(one, settings) / one.num_rounds for one in generations]
    commit = [one.commit_seconds / one.num_rounds for one in generations]
    num_judged = sum(one.num_judged_tokens for one in generations)
    failures: dict[str, int] = {}
    for result in results:
        for reason, count in result.failures.items():
            failures[reason] = failures.get(reason, 0) + count
    return Outcome(
        tokens_per_second=num_tokens / used.seconds * dilation,
        round_ms_p50=None if p50 is None else 1000 * p50 / dilation,
        round_ms_p99=None if p99 is None else 1000 * p99 / dilation,
        rounds_per_second=rounds_seen / used.seconds,
        outside_ms=1000 * statistics.median(outside) if outside else None,
        commit_ms=1000 * statistics.median(commit) if commit else None,
        start_cpu_ms=1000 * used.start_cpu_seconds / max(1, num_begun_sessions),
        orchestrator_cpu_ms=1000 * used.orchestrator_cpu_seconds / num_rounds,
        redis_cpu_ms=1000 * used.redis_cpu_seconds / num_rounds,
        orchestrator_cores=used.orchestrator_cpu_seconds / used.seconds,
        replica_cores=used.replica_cpu_seconds / used.seconds,
        client_cores=used.client_cpu_seconds / used.seconds,
        orchestrator_mib=used.orchestrator_bytes / 2**20,
        redis_commands_per_round=used.num_redis_commands / num_rounds,
        redis_commands_per_second=used.num_redis_commands / used.seconds,
        redis_bytes_per_session=used.redis_bytes_per_session,
        acceptance=sum(one.num_accepted_tokens for one in generations) / num_judged if num_judged else None,
        tokens_per_round=num_tokens / rounds_seen if rounds_seen else None,
        draft_ms=_mean_ms([(one.draft_seconds, one.num_rounds) for one in generations], dilation),
        verify_ms=_mean_ms([(one.verify_seconds, one.num_rounds) for one in generations], dilation),
        queue_ms=_mean_ms([(one.queue_seconds, one.num_rounds) for one in generations], dilation),
        num_begun_sessions=num_begun_sessions,
        num_open_sessions=sum(one.num_open_sessions for one in results),
        prompt_tokens=statistics.mean(one.num_prompt_tokens for one in generations) if generations else None,
        num_generations=len(generations),
        failures=failures,
    )


def _outside_seconds(generation: Generation, settings: Settings) -> float:
    """Return what a generation took besides its models, their queues and the emulated distance."""
    emulated_ms = (
        settings.rtt_ms * generation.num_rounds + settings.draft_rtt_ms * generation.num_drafted_rounds
    )
    models = generation.draft_seconds + generation.verify_seconds + generation.queue_seconds
    return generation.total_seconds - models - emulated_ms / 1000 * settings.dilation


def _mean_ms(parts: Sequence[tuple[float, int]], dilation: float) -> float | None:
    num_rounds = sum(count for _, count in parts)
    return 1000 * sum(seconds for seconds, _ in parts) / num_rounds / dilation if num_rounds else None
