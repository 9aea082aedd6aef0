"""Statuses as orchestrators tell them, in plain data."""

from dataclasses import replace

from paceline.cli.monitor.history import History
from paceline.cli.monitor.poll import OrchestratorAnswer, Poll, SessionListing
from paceline.client.orchestrator_totals import OrchestratorTotals
from paceline.client.replica_state import ReplicaState
from paceline.client.session_status import SessionStatus
from paceline.client.sessions import SessionInfo
from paceline.client.status import (
    DraftStatus,
    EngineStatus,
    HostedModel,
    OrchestratorStatus,
    PairStatus,
    ReplicaStatus,
    TargetStatus,
)

BIG = HostedModel("qwen2.5-coder-1.5b-instruct", "int8", "CPU")
SMALL = HostedModel("qwen2.5-coder-0.5b-instruct", "int4", "CPU")
TOTALS = OrchestratorTotals(
    num_generations=124,
    num_finished_generations={"length": 20, "stop": 98},
    num_failed_generations={"CANCELLED": 2},
    num_prompt_tokens=9_300,
    num_tokens_by_origin={"accepted": 8_200, "bonus": 1_400, "recovered": 1_500, "target": 300},
    num_rounds_by_drafter={"model": 2_900, "none": 200, "prompt_lookup": 100},
    num_draft_tokens=10_000,
    num_accepted_tokens=8_200,
    num_proposals_by_ahead_outcome={"continued": 1_500, "guessed": 500, "missed": 800, "none": 100},
    num_degraded_rounds={"DRAFT_LATE": 12, "NO_DRAFT_REPLICA": 150},
    num_failovers={"CONNECTION_LOST": 1},
    round_seconds_by_part={
        "target_compute": 180.0,
        "draft_compute": 60.0,
        "target_queue": 20.0,
        "target_network": 5.0,
        "draft_network": 4.0,
        "commit": 3.0,
        "orchestrator": 8.0,
        "client": 0.1,
    },
    num_speedup_estimates=80,
    speedup_sum=140.0,
)


def engine(num_steps: int = 5_000, age_seconds: float = 0.2, **fields: int) -> EngineStatus:
    kept = {"num_running": 3, "num_waiting": 0, "num_available_blocks": 300, "num_blocks": 1000}
    return EngineStatus(age_seconds, num_steps, **(kept | fields))


def replica(replica_id: str, address: str, model: HostedModel = BIG, **fields: object) -> ReplicaStatus:
    whole = ReplicaStatus(address, replica_id, ReplicaState.READY, "", 4, model, engine(), 0.1, 0.0004)
    return replace(whole, **fields)  # pyright: ignore[reportArgumentType]


def gone(replica_id: str, address: str, reason: str = "CONNECTION_LOST") -> ReplicaStatus:
    return ReplicaStatus(address, replica_id, ReplicaState.GONE, reason, 0, None, None, 12.0, None)


def status(number: int = 0, **fields: object) -> OrchestratorStatus:
    pair = PairStatus("node-0-5:7002", (0.84, 0.78, 0.71, 0.66, 0.6), is_ahead_on=True)
    whole = OrchestratorStatus(
        f"orchestrator-{number}-1f2e3d4c",
        "0.1.0",
        7_505.0,
        is_draining=False,
        num_running_sessions=4,
        redis_seconds=0.0004,
        totals=TOTALS,
        targets=(
            TargetStatus(replica("target-0", "node-0-3:7001"), 0.0421, (pair,)),
            TargetStatus(gone("target-1", "node-0-4:7001"), None, ()),
        ),
        drafts=(DraftStatus(replica("draft-0", "node-0-5:7002", SMALL), 0.0082),),
    )
    return replace(whole, **fields)  # pyright: ignore[reportArgumentType]


def session(number: int, num_tokens: int = 100, lease_seconds: float | None = 8.0) -> SessionInfo:
    return SessionInfo(
        f"{number:032x}",
        SessionStatus.RUNNING,
        BIG.name,
        1,
        30 + num_tokens,
        30,
        "target-0",
        "draft-0",
        "orchestrator-0-1f2e3d4c",
        lease_seconds,
        0.1,
        3600.0,
        "ff",
        "{}",
    )


def answer(one: OrchestratorStatus, address: str = "node-0-2:7000") -> OrchestratorAnswer:
    return OrchestratorAnswer(address, one)


def silent(address: str = "node-0-9:7000") -> OrchestratorAnswer:
    return OrchestratorAnswer(address, None, "nobody answers there")


def poll(at: float, *answers: OrchestratorAnswer, sessions: tuple[SessionInfo, ...] = ()) -> Poll:
    listing = SessionListing(at, sessions, len(sessions))
    return Poll(at, 1_790_000_000.0 + at, answers, listing)


def grown(one: OrchestratorStatus, num_seconds: int) -> OrchestratorStatus:
    """The same orchestrator some seconds later: 40 tokens and 12 rounds a second, 20 passes a second."""
    more = OrchestratorTotals(
        num_tokens_by_origin={"accepted": 28 * num_seconds, "bonus": 12 * num_seconds},
        num_rounds_by_drafter={"model": 12 * num_seconds},
        num_draft_tokens=40 * num_seconds,
        num_accepted_tokens=28 * num_seconds,
        num_degraded_rounds={"DRAFT_LATE": num_seconds},
        round_seconds_by_part={"target_compute": 0.6 * num_seconds, "draft_compute": 0.4 * num_seconds},
    )
    targets = tuple(
        replace(target, replica=replace(target.replica, engine=engine(5_000 + 20 * num_seconds)))
        if target.replica.engine is not None
        else target
        for target in one.targets
    )
    return replace(
        one, totals=one.totals + more, targets=targets, uptime_seconds=one.uptime_seconds + num_seconds
    )


def history(*polls: Poll) -> History:
    made = History()
    for one in polls:
        made.add(one)
    return made


def busy_history(num_polls: int = 11) -> History:
    """Ten seconds of one busy orchestrator."""
    return history(
        *(
            poll(
                100.0 + second,
                answer(grown(status(), second)),
                sessions=(session(7, 120 + 10 * second), session(8, 50 + 12 * second)),
            )
            for second in range(num_polls)
        )
    )
