"""Waiting for a place: granted, refused, given up, too long, or overtaken by the end of the process."""

import asyncio

import pytest

from orchestrator.session_slots import SessionSlots, SlotLimits
from orchestrator.tenant import ANYBODY, Tenant
from paceline.serving.errors import DrainingError, TooManySessionsError
from tests.orchestrator.rig import until

ANN, BOB = Tenant("ann"), Tenant("bob")


class Slots:
    def __init__(self, max_sessions: int, max_waiting: int = 10, waiting_seconds: float = 60.0) -> None:
        self.draining = asyncio.Event()
        self.waits: list[str] = []
        self.slots = SessionSlots(
            SlotLimits(max_sessions, max_waiting, waiting_seconds),
            self.draining,
            lambda tenant, seconds: self.waits.append(tenant),
        )

    def start(self, tenant: Tenant, num_places: int = 1):
        return asyncio.create_task(self.slots.take(tenant, num_places))

    async def until_waiting(self, **num_waiting: int) -> None:
        await until(
            lambda: (
                {name: num for name, num in self.slots.num_waiting_by_tenant().items() if num} == num_waiting
            )
        )


async def test_without_a_line_whoever_finds_no_place_is_refused_at_once():
    slots = Slots(2, max_waiting=0).slots
    places = await slots.take(ANYBODY, 2)
    with pytest.raises(TooManySessionsError) as caught:
        await slots.take(ANYBODY, 1)
    assert caught.value.facts == {"max_sessions": 2}
    places.give_back()
    places.give_back()
    await slots.take(ANYBODY, 1)
    await slots.take(ANYBODY, 1)


async def test_more_places_than_there_are_are_not_waited_for():
    with pytest.raises(TooManySessionsError, match="fewer choices"):
        await Slots(2).slots.take(ANN, 3)


async def test_a_place_that_becomes_free_is_given_to_who_waits():
    rig = Slots(1)
    first = await rig.slots.take(ANN, 1)
    second = rig.start(ANN)
    await rig.until_waiting(ann=1)
    first.give_back()
    await second
    assert rig.waits == ["ann"]


async def test_who_gives_up_leaves_the_line_and_a_place_that_just_came_is_not_lost():
    rig = Slots(1)
    first = await rig.slots.take(ANN, 1)
    gone, granted, last = rig.start(ANN), rig.start(ANN), rig.start(BOB)
    await rig.until_waiting(ann=2, bob=1)
    gone.cancel()
    await rig.until_waiting(ann=1, bob=1)
    first.give_back()  # to bob, and in the same moment he gives up
    last.cancel()
    await granted
    await rig.until_waiting()
    outcomes = await asyncio.gather(gone, last, return_exceptions=True)
    assert [type(one) for one in outcomes] == [asyncio.CancelledError] * 2


async def test_who_waits_too_long_is_refused():
    rig = Slots(1, waiting_seconds=0.02)
    await rig.slots.take(ANN, 1)
    with pytest.raises(TooManySessionsError, match="none became free within"):
        await rig.slots.take(BOB, 1)
    assert rig.slots.num_waiting_by_tenant() == {"ann": 0, "bob": 0}
    assert rig.waits == ["bob"]


async def test_a_full_line_has_room_for_a_tenant_that_has_less_in_it():
    rig = Slots(1, max_waiting=3)
    first = await rig.slots.take(ANN, 1)
    waiting = [rig.start(ANN) for _ in range(3)]
    await rig.until_waiting(ann=3)
    with pytest.raises(TooManySessionsError):
        await rig.slots.take(ANN, 1)
    bob = rig.start(BOB)
    await rig.until_waiting(ann=2, bob=1)
    with pytest.raises(TooManySessionsError):
        await waiting[-1]
    first.give_back()
    (await bob).give_back()
    (await waiting[0]).give_back()
    await waiting[1]


async def test_the_waiting_are_sent_elsewhere_when_the_process_ends():
    rig = Slots(1)
    await rig.slots.take(ANN, 1)
    waiting = [rig.start(ANN), rig.start(BOB)]
    await rig.until_waiting(ann=1, bob=1)
    rig.draining.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in outcomes] == [DrainingError, DrainingError]
    await rig.until_waiting()
