"""Streams of frames: signs of life, the drain, and what is left of a stream that breaks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import pytest

from paceline.engine.progress import EngineProgress
from paceline.serving.errors import DrainingError
from paceline.serving.frames import Frame, FrameExchange, SignsOfLife
from tests.paceline.serving.rig import until

PROGRESS = EngineProgress(1, 2, 3, 4, 5)


class Stream:
    """Requests are names; each is answered with itself when the test says so."""

    def __init__(self, interval_seconds: float = 3600) -> None:
        self.requests: asyncio.Queue[list[str] | None] = asyncio.Queue()
        self.draining = asyncio.Event()
        self.begun: dict[str, asyncio.Future[str]] = {}
        self.written: list[str] = []
        self.exchange: FrameExchange[list[str], str] = FrameExchange(
            self._begin, self.draining, self.written.extend, SignsOfLife(interval_seconds, lambda: PROGRESS)
        )

    def answers(self):
        return aclosing(self.exchange.answers(self._frames()))

    async def send(self, *names: str) -> None:
        await self.requests.put(list(names))
        await until(lambda: all(name in self.begun for name in names))

    async def _frames(self) -> AsyncIterator[list[str]]:
        while (frame := await self.requests.get()) is not None:
            yield frame

    def _begin(self, frame: list[str]) -> Iterator[asyncio.Future[str]]:
        for name in frame:
            self.begun[name] = asyncio.get_running_loop().create_future()
            if self.draining.is_set():
                self.begun[name].set_result(f"{name} refused")
            yield self.begun[name]


async def test_a_caller_that_waits_gets_signs_of_life_until_it_is_answered() -> None:
    stream = Stream(interval_seconds=0.001)
    async with stream.answers() as frames:
        next_frame = asyncio.ensure_future(anext(frames))
        await stream.send("a")
        assert await next_frame == Frame([], PROGRESS)
        assert await anext(frames) == Frame([], PROGRESS)
        stream.begun["a"].set_result("a")
        while not (frame := await anext(frames)).answers:
            assert frame.progress == PROGRESS
        assert frame.answers == ["a"]
        assert not stream.exchange._is_sign_due
        await stream.requests.put(None)
        assert [frame async for frame in frames] == []


async def test_a_stream_without_unanswered_requests_shows_no_signs_of_life() -> None:
    stream = Stream(interval_seconds=0.001)
    async with stream.answers() as frames:
        next_frame = asyncio.ensure_future(anext(frames))
        await asyncio.wait([next_frame], timeout=0.02)
        assert not next_frame.done()
        await stream.requests.put(None)
        with pytest.raises(StopAsyncIteration):
            await next_frame


async def test_answers_that_are_ready_together_are_one_frame() -> None:
    stream = Stream()
    async with stream.answers() as frames:
        next_frame = asyncio.ensure_future(anext(frames))
        await stream.send("a", "b", "c")
        stream.begun["a"].set_result("a")
        stream.begun["c"].set_result("c")
        assert (await next_frame).answers == ["a", "c"]


async def test_the_first_answers_of_a_stream_bring_a_sign_of_life_and_later_ones_need_not() -> None:
    stream = Stream()
    async with stream.answers() as frames:
        for name, progress in (("a", PROGRESS), ("b", None)):
            next_frame = asyncio.ensure_future(anext(frames))
            await stream.send(name)
            stream.begun[name].set_result(name)
            assert await next_frame == Frame([name], progress)


async def test_a_drain_refuses_what_comes_and_ends_the_stream_when_what_runs_is_answered() -> None:
    stream = Stream()
    async with stream.answers() as frames:
        next_frame = asyncio.ensure_future(anext(frames))
        await stream.send("a")
        stream.draining.set()
        await stream.send("b")
        assert (await next_frame).answers == ["b refused"]
        next_frame = asyncio.ensure_future(anext(frames))
        stream.begun["a"].set_result("a")
        assert (await next_frame).answers == ["a"]
        with pytest.raises(DrainingError):
            await anext(frames)


async def test_a_silent_stream_ends_with_the_drain() -> None:
    stream = Stream()
    async with stream.answers() as frames:
        next_frame = asyncio.ensure_future(anext(frames))
        stream.draining.set()
        with pytest.raises(DrainingError):
            await next_frame


async def test_a_stream_that_breaks_leaves_no_task_and_no_timer() -> None:
    before = asyncio.all_tasks()
    stream = Stream(interval_seconds=0.001)
    frames = stream.exchange.answers(stream._frames())
    next_frame = asyncio.ensure_future(anext(frames))
    await stream.send("a", "b")
    await next_frame
    await frames.aclose()
    await until(lambda: asyncio.all_tasks() == before)
    assert [future.cancelled() for future in stream.begun.values()] == [True, True]
    assert stream.written == []
