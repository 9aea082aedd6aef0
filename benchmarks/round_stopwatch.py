"""Where a round of one session spends its time in the orchestrator: clocks around what the round passes through.

Only for a process with one session at a time, because all that is measured counts towards the round that runs.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import grpc.aio

from orchestrator.commit_line import Acknowledgement, CommitLine
from orchestrator.replica import Replica
from orchestrator.replica_client import DraftClient, TargetClient
from orchestrator.session_record import Commit
from orchestrator.session_store import SessionStore

Seconds = dict[str, float]
Place = tuple[type[Any], str]


class RoundStopwatch:
    """Seconds of each round by their place, for as long as the process runs.

    Attributes:
        rounds: One finished round each; "round" is all of it and "models" what the replicas computed.
        commits: Seconds from a round's commit being queued until Redis has acknowledged it.
        commands: Seconds of the commit's command alone.
    """

    def __init__(self) -> None:
        self.rounds: list[Seconds] = []
        self.commits: list[float] = []
        self.commands: list[float] = []
        self._round: Seconds = defaultdict(float)
        self._started_at = 0.0
        self._left_at = 0.0  # when the latest request was written, or its result read
        self._leader = ""  # the pool that a round asks first

    def install(self, leader: str) -> None:
        """Put the clocks in place; a round begins where the leading pool, "draft" or "target", is asked."""
        self._leader = leader
        for name in ("message", "frame", "answer"):
            for client in (DraftClient, TargetClient):
                self._time("serialise", (client, name))
        self._time_asks()
        self._time_commits()

    def restart(self) -> None:
        """Forget all that was measured."""
        self.rounds, self.commits, self.commands = [], [], []
        self._started_at = 0.0

    def channel(self, channel: grpc.aio.Channel) -> Any:
        """Return a channel whose streams' messages are timed as they become bytes and back."""
        return _TimedChannel(channel, self)

    def note_written(self, seconds: float) -> None:
        """Note that a frame has become bytes."""
        now = time.perf_counter()
        self._round["serialise"] += seconds
        self._round["queue"] += now - seconds - self._left_at
        self._left_at = now

    def note_read(self, kind: str, seconds: float) -> None:
        """Note that a frame's bytes have been read."""
        now = time.perf_counter()
        self._round["serialise"] += seconds
        self._round[f"hop to the {kind}"] += now - seconds - self._left_at
        self._left_at = now

    def _begin_round(self, now: float) -> None:
        if self._started_at:
            self._round["round"] = now - self._started_at
            self.rounds.append(dict(self._round))
        self._round = defaultdict(float)
        self._started_at = now

    def _time(self, place: str, where: Place) -> None:
        owner, name = where
        inner: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any) -> Any:
            started_at = time.perf_counter()
            if name == "answer":
                self._round["queue"] += started_at - self._left_at
            try:
                return inner(*arguments)
            finally:
                now = time.perf_counter()
                self._round[place] += now - started_at
                if name == "frame":
                    self._round["queue"] += started_at - self._left_at
                self._left_at = now

        setattr(owner, name, timed)

    def _time_asks(self) -> None:
        inner = Replica.ask

        async def ask(replica: Replica[Any, Any], request: Any, *deadline: float) -> Any:
            kind = "draft" if hasattr(request, "num_draft_tokens") else "target"
            started_at = time.perf_counter()
            if kind == self._leader:
                self._begin_round(started_at)
            answer = await inner(replica, request, *deadline)
            self._round["asked"] += time.perf_counter() - started_at
            self._round["models"] += answer.timing.compute_seconds
            self._round[f"hop to the {kind}"] -= answer.timing.compute_seconds
            return answer

        Replica.ask = ask  # pyright: ignore[reportAttributeAccessIssue], it passes on whatever it gets

    def _time_commits(self) -> None:
        submit, command = CommitLine.submit, SessionStore.commit

        async def timed_submit(line: CommitLine, commit: Commit) -> Acknowledgement:
            started_at = time.perf_counter()
            acknowledged = await submit(line, commit)
            acknowledged.add_done_callback(lambda _: self.commits.append(time.perf_counter() - started_at))
            return acknowledged

        async def timed_command(store: SessionStore, *arguments: Any) -> None:
            started_at = time.perf_counter()
            await command(store, *arguments)
            self.commands.append(time.perf_counter() - started_at)

        CommitLine.submit = timed_submit  # pyright: ignore[reportAttributeAccessIssue], `self` has a name here
        SessionStore.commit = timed_command  # pyright: ignore[reportAttributeAccessIssue]


class _TimedChannel:
    def __init__(self, channel: grpc.aio.Channel, stopwatch: RoundStopwatch) -> None:
        self._channel = channel
        self._stopwatch = stopwatch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def stream_stream(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes],
        response_deserializer: Callable[[bytes], Any],
        **options: Any,
    ) -> Any:
        kind = "draft" if "DraftService" in method else "target"

        def write(message: Any) -> bytes:
            started_at = time.perf_counter()
            written = request_serializer(message)
            self._stopwatch.note_written(time.perf_counter() - started_at)
            return written

        def read(data: bytes) -> Any:
            started_at = time.perf_counter()
            message = response_deserializer(data)
            self._stopwatch.note_read(kind, time.perf_counter() - started_at)
            return message

        return self._channel.stream_stream(
            method, request_serializer=write, response_deserializer=read, **options
        )
