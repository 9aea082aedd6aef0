"""Any order of calls of several owners, of repeats, late duplicates and losses leaves what a plain model says."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from orchestrator.errors import SessionCancelledError, SessionLostError, SessionMovedError
from orchestrator.session_record import Commit, SessionRecord, SessionStatus, TakeOver
from orchestrator.session_store import SessionStore, StoreSettings
from orchestrator.start import CommittedPoint
from paceline.errors import PacelineError
from paceline.rounds import prefix_digest
from paceline.serving.errors import StaleEpochError
from tests.orchestrator.redis_servers import PROGRAMS, program_of, server
from tests.orchestrator.session_cases import OWNERS, SAMPLING, new_session

RUNNING, FINISHED, CANCELLED = SessionStatus.RUNNING, SessionStatus.FINISHED, SessionStatus.CANCELLED
NUM_OWNERS = 3
IDS = st.lists(st.integers(0, 2), min_size=1, max_size=3).map(tuple)


@dataclass(frozen=True)
class Stored:
    """A session as the model has it."""

    epoch: int
    ids: tuple[int, ...]
    status: SessionStatus = RUNNING
    orchestrator: str = "0"

    def refusal(self, epoch: int) -> str | None:
        if epoch == self.epoch:
            return None
        if self.status is CANCELLED:
            return "CANCELLED"
        return "STALE" if epoch < self.epoch else "LOST"

    def commit(self, epoch: int, commit: Commit) -> "Stored | str":
        if refusal := self.refusal(epoch):
            return refusal
        end = commit.position + len(commit.ids)
        if commit.position != len(self.ids):
            return self if self.ids[commit.position : end] == commit.ids else "LOST"
        if self.status is not RUNNING:
            return "UNAVAILABLE"
        return replace(self, ids=self.ids + commit.ids, status=commit.status)

    def finish(self, epoch: int, status: SessionStatus) -> "Stored | str":
        refusal = self.refusal(epoch)
        return refusal or (replace(self, status=status) if self.status is RUNNING else self)

    def renew(self, epoch: int) -> "Stored | str":
        return self.refusal(epoch) or self

    def take_over(self, change: TakeOver) -> "Stored | str":
        if self.status is CANCELLED:
            return "CANCELLED"
        if self.epoch == change.new_epoch:
            return self if self.orchestrator == change.orchestrator else "STALE"
        if refusal := self.refusal(change.expected.epoch):
            return refusal
        if change.expected.position != len(self.ids):
            return "MOVED" if len(self.ids) > change.expected.position else "LOST"
        ids = self.ids[: change.keep_position] + change.ids
        return Stored(change.new_epoch, ids, RUNNING, change.orchestrator)

    def restore(self, lost: "Stored") -> "Stored | str":
        if self.status is CANCELLED:
            return "CANCELLED"
        if self.epoch > lost.epoch:
            return "STALE"
        if self.epoch < lost.epoch:
            return lost
        shared = min(len(self.ids), len(lost.ids))
        if self.ids[:shared] != lost.ids[:shared]:
            return "MOVED"
        if len(self.ids) < len(lost.ids):
            return lost
        has_ended_since = len(self.ids) == len(lost.ids) and self.status is RUNNING
        return lost if has_ended_since and lost.status is not RUNNING else self


@dataclass(frozen=True)
class Sent:
    """A call that may arrive once more: at the store, and at the model."""

    send: Callable[[], Awaitable[None]]
    expect: Callable[[Stored], Stored | str]
    of_nothing: Stored | str = "LOST"

    def outcome(self, stored: Stored | None) -> Stored | str:
        return self.of_nothing if stored is None else self.expect(stored)


@dataclass(frozen=True)
class Snapshot:
    """What a server had on its disk at some time."""

    stored: Stored | None
    dumps: dict[str, bytes] = field(default_factory=dict)


class StoreMachine(RuleBasedStateMachine):
    """Three owners, an operator, and a server that loses its last writes."""

    num_machines = 0

    def __init__(self, runner: asyncio.Runner, store: SessionStore, client: Redis) -> None:
        super().__init__()
        self.loop, self.store, self.client = runner.get_loop(), store, client
        StoreMachine.num_machines += 1
        self.name = f"session-{StoreMachine.num_machines}"
        self.keys = [f"paceline:{{{self.name}}}:{part}" for part in ("state", "ids")]
        self.stored: Stored | None = None
        self.acknowledged: dict[int, Stored] = {}  # by owner: what Redis has told it that it holds
        self.sent: list[Sent] = []
        self.snapshots: list[Snapshot] = []  # after each change
        self.claimed = {1}  # every epoch that anybody ever asked for
        self.highest = 1  # the highest epoch since the last loss

    @property
    def there(self) -> Stored:
        assert self.stored is not None
        return self.stored

    def call(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def arrive(self, sent: Sent) -> bool:
        """Have a call arrive, compare with the model, and tell whether it was answered well."""
        before, expected = self.stored, sent.outcome(self.stored)
        refusal = self.call(refusal_of(sent.send()))
        assert refusal == (None if isinstance(expected, Stored) else expected)
        if isinstance(expected, Stored):
            self.note(expected)
        assert before is None or self.there.epoch >= before.epoch
        return isinstance(expected, Stored)

    def send(self, sent: Sent) -> bool:
        """Have a new call arrive, then its repeat, which must change nothing."""
        self.sent.append(sent)
        is_applied = self.arrive(sent)
        after = self.stored
        assert self.arrive(sent) == is_applied
        assert self.stored == after
        return is_applied

    def note(self, stored: Stored) -> None:
        if stored != self.stored:
            self.stored = stored
            self.snapshots.append(self.call(self._snapshot()))
        self.highest = max(self.highest, stored.epoch)

    def owner_of(self, data, *statuses: SessionStatus) -> int | None:
        owners = [number for number, known in self.acknowledged.items() if known.status in statuses]
        return data.draw(st.sampled_from(owners)) if owners else None

    @initialize(prompt_ids=IDS)
    def create(self, prompt_ids):
        session = new_session(self.name, prompt_ids, orchestrator="0")
        self.call(self.store.create(session))
        self.call(self.store.create(session))
        self.note(Stored(1, prompt_ids))
        self.acknowledged[0] = Stored(1, prompt_ids)

    @rule(
        data=st.data(),
        rounds=st.lists(IDS, min_size=1, max_size=3),
        is_last=st.sampled_from([False, False, False, True]),
    )
    def commit(self, data, rounds, is_last):
        owner = self.owner_of(data, RUNNING)
        for number, ids in enumerate(rounds if owner is not None else [], start=1):
            status = FINISHED if is_last and number == len(rounds) else RUNNING
            if not self.commit_round(owner, ids, status):
                return

    def commit_round(self, owner, ids, status) -> bool:
        known, before = self.acknowledged[owner], self.stored
        commit = Commit(len(known.ids), ids, b"", status)
        sent = Sent(
            partial(self.store.commit, self.name, known.epoch, commit),
            lambda stored: stored.commit(known.epoch, commit),
        )
        if not self.send(sent):
            return False
        self.acknowledged[owner] = replace(known, ids=known.ids + ids, status=status)
        # Only the highest epoch that the server has heard of commits, and only behind what there is.
        assert known.epoch == self.highest
        assert before is not None
        assert self.there.ids[: len(before.ids)] == before.ids
        return True

    @rule(
        data=st.data(),
        owner=st.integers(0, NUM_OWNERS - 1),
        num_cut=st.sampled_from([0, 0, 1, 2]),
        ids=st.one_of(st.just(()), IDS),
        step=st.integers(1, 3),
    )
    def take_over(self, data, owner, num_cut, ids, step):
        """Take over as the record was read, which may be some changes ago."""
        before = [snapshot.stored for snapshot in self.snapshots[-3:] if snapshot.stored is not None]
        now = [self.stored] * 3 if self.stored is not None else []
        read = data.draw(st.sampled_from([*now, *before]))
        known = self.acknowledged.get(owner)
        epoch = max(read.epoch, known.epoch if known else 0) + step
        if epoch in self.claimed:  # which the random step makes unlikely
            return
        self.claimed.add(epoch)
        kept = read.ids[: max(0, len(read.ids) - num_cut)]
        digest = prefix_digest((*kept, *ids))
        expected = CommittedPoint(read.epoch, len(read.ids))
        change = TakeOver(expected, epoch, len(kept), ids, digest, OWNERS, str(owner))
        sent = Sent(partial(self.store.take_over, self.name, change), lambda stored: stored.take_over(change))
        if self.send(sent):
            assert self.stored == Stored(epoch, kept + ids, RUNNING, str(owner))
            self.acknowledged[owner] = self.there

    @rule(data=st.data())
    def renew(self, data):
        owner = data.draw(st.sampled_from(sorted(self.acknowledged)))
        known, before = self.acknowledged[owner], self.stored
        sent = Sent(
            partial(self.store.renew, self.name, known.epoch), lambda stored: stored.renew(known.epoch)
        )
        self.send(sent)
        assert self.stored == before

    @rule(
        data=st.data(),
        status=st.sampled_from([None, None, SessionStatus.SUSPENDED, SessionStatus.FAILED]),
    )
    def finish(self, data, status):
        owner = self.owner_of(data, RUNNING)
        if owner is None or status is None:  # not every time: little happens afterwards
            return
        known = self.acknowledged[owner]
        sent = Sent(
            partial(self.store.finish, self.name, known.epoch, status),
            lambda stored: stored.finish(known.epoch, status),
        )
        if self.send(sent):
            self.acknowledged[owner] = replace(known, status=status)

    @rule(data=st.data())
    def restore(self, data):
        owner = data.draw(st.sampled_from(sorted(self.acknowledged)))
        known, before = self.acknowledged[owner], self.stored
        record = SessionRecord(
            self.name,
            known.epoch,
            known.status,
            "tiny",
            known.ids,
            0,
            prefix_digest(known.ids),
            SAMPLING,
            OWNERS,
            orchestrator=str(owner),
        )
        sent = Sent(
            partial(self.store.restore, record), lambda stored: stored.restore(known), of_nothing=known
        )
        self.send(sent)
        if before is not None and self.there.epoch == before.epoch:
            assert self.there.ids[: len(before.ids)] == before.ids

    @rule(is_meant=st.sampled_from([*[False] * 9, True]))
    def cancel(self, is_meant):
        if not is_meant:  # nothing happens afterwards
            return
        before = self.stored
        cancelled = self.call(self.store.cancel(self.name))
        again = self.call(self.store.cancel(self.name))
        if before is None:
            assert cancelled is None
            return
        assert cancelled is not None
        assert again is not None
        assert (again.epoch, again.status) == (cancelled.epoch, cancelled.status)
        if before.status in {RUNNING, SessionStatus.SUSPENDED}:
            assert cancelled.status is CANCELLED
            assert cancelled.epoch > before.epoch
        self.claimed.add(cancelled.epoch)
        self.note(replace(before, epoch=cancelled.epoch, status=cancelled.status))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def a_late_duplicate_arrives(self, data):
        self.arrive(data.draw(st.sampled_from(self.sent)))

    @rule(num_lost=st.sampled_from([0, 0, 1, 2, 3, 100]))
    def the_server_loses_its_last_writes(self, num_lost):
        if num_lost == 0:
            return
        is_there = num_lost < len(self.snapshots)
        snapshot = self.snapshots[-1 - num_lost] if is_there else Snapshot(None)
        self.call(self._put_back(snapshot))
        self.stored = snapshot.stored
        self.highest = snapshot.stored.epoch if snapshot.stored else 0

    async def _snapshot(self) -> Snapshot:
        dumps = {key: await self.client.dump(key) for key in self.keys}
        return Snapshot(self.stored, {key: dump for key, dump in dumps.items() if dump is not None})

    async def _put_back(self, snapshot: Snapshot) -> None:
        await self.client.delete(*self.keys)
        for key, dump in snapshot.dumps.items():
            await self.client.restore(key, 3_600_000, dump)

    @invariant()
    def redis_holds_what_the_model_holds(self):
        record = self.call(self.store.load(self.name))
        if self.stored is None:
            assert record is None
            return
        assert record is not None
        assert Stored(record.epoch, record.ids, record.status, record.orchestrator) == self.stored
        assert record.num_prompt_ids <= len(record.ids)
        assert (record.lease_deadline_ms > 0) == (self.stored.status is RUNNING)

    @invariant()
    def every_key_has_a_lifetime(self):
        for key in self.keys:
            assert self.call(self.client.ttl(key)) > 0 or self.stored is None

    @invariant()
    def no_two_owners_have_the_same_epoch(self):
        epochs = [known.epoch for known in self.acknowledged.values()]
        assert len(epochs) == len(set(epochs))


async def refusal_of(change: Awaitable[None]) -> str | None:
    try:
        await change
    except PacelineError as error:
        return code_of(error)
    return None


def code_of(error: PacelineError) -> str:
    for family, code in (
        (SessionCancelledError, "CANCELLED"),
        (SessionMovedError, "MOVED"),
        (StaleEpochError, "STALE"),
        (SessionLostError, "LOST"),
    ):
        if isinstance(error, family):
            return code
    assert error.facts["code"] == "NOT_RUNNING"
    return "UNAVAILABLE"


@pytest.mark.parametrize("name", PROGRAMS)
def test_any_order_of_calls_repeats_and_losses_leaves_what_the_model_says(name):
    profile = settings(
        max_examples=50,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=tuple(HealthCheck),  # pyright: ignore[reportArgumentType] - the enum's type is lost
    )
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            one = runner.run(stack.enter_async_context(server(program_of(name))))
            client = runner.run(stack.enter_async_context(one.client()))
            store_settings = StoreSettings(
                one.url, timeout_seconds=5, max_epoch_step=1
            )  # so that runs can be repeated
            store = runner.run(stack.enter_async_context(SessionStore.connect(store_settings)))
            machine = partial(StoreMachine, runner, store, client)
            # The state machine may be anything that makes one, not only a class.
            run_state_machine_as_test(machine, settings=profile)  # pyright: ignore[reportArgumentType]
        finally:
            runner.run(stack.aclose())
