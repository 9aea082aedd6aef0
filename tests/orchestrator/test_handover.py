"""Who is interrupted when an orchestrator shuts down, and when."""

import asyncio
from typing import cast

from orchestrator.choices import Choices
from orchestrator.handover import Handover
from paceline.errors import PacelineError


class Interrupted:
    """Choices that only note what happens to them; as with real ones, a second interruption changes nothing."""

    def __init__(self) -> None:
        self.by: asyncio.Future[PacelineError] = asyncio.get_running_loop().create_future()

    def interrupt(self, error: PacelineError) -> None:
        if not self.by.done():
            self.by.set_result(error)


def watched(handover: Handover, one: Interrupted):
    return handover.watching(cast("Choices", one))


async def test_what_runs_is_interrupted_after_the_grace_and_what_has_ended_is_not():
    draining = asyncio.Event()
    handover, running, ended = Handover(draining, 0.01), Interrupted(), Interrupted()
    with watched(handover, running):
        with watched(handover, ended):
            pass
        draining.set()
        assert (await running.by).reason == "DRAINING"
    assert not ended.by.done()


async def test_what_was_admitted_at_the_last_moment_is_interrupted_too():
    draining = asyncio.Event()
    handover, first, second = Handover(draining, 0.0), Interrupted(), Interrupted()
    with watched(handover, first):
        draining.set()
        await first.by
        with watched(handover, second):
            assert (await second.by).reason == "DRAINING"


async def test_nothing_is_left_when_nothing_runs():
    handover = Handover(asyncio.Event(), 0.0)
    num_tasks = len(asyncio.all_tasks())
    with watched(handover, Interrupted()):
        assert len(asyncio.all_tasks()) == num_tasks + 1
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == num_tasks
