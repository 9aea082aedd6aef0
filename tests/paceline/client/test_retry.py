"""When a call is tried again: budgets, deadlines and silence, against orchestrators that fail."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc.aio
import pytest

from paceline.client import (
    AsyncClient,
    CallFailedError,
    ClientClosedError,
    DeadlineExceededError,
    NotAllowedError,
    OverloadedError,
    RequestRefusedError,
    RetryBudget,
    RetrySettings,
    SessionLostError,
    SessionTakenError,
    UnavailableError,
)
from paceline.client.generation import GenerationRequest, RawPrompt
from paceline.errors import PacelineError
from paceline.serving.errors import DrainingError
from paceline.serving.status import STATUS_OF_REASON, abort
from paceline.v1 import orchestrator_service_pb2 as pb
from tests.paceline.client.servicer_fake import FakeOrchestrator, quicksort_events, serving

QUICK = RetrySettings(first_pause_seconds=0.001, last_pause_seconds=0.002, give_up_seconds=20.0)


@asynccontextmanager
async def client_of(
    fakes: Sequence[FakeOrchestrator], retry: RetrySettings = QUICK, **settings: Any
) -> AsyncIterator[AsyncClient]:
    async with AsyncExitStack() as stack:
        addresses = [await stack.enter_async_context(serving(fake)) for fake in fakes]
        yield await stack.enter_async_context(AsyncClient(addresses, retry=retry, **settings))


def draining() -> FakeOrchestrator:
    return FakeOrchestrator(error=DrainingError("shutting down; use another one"))


class Breaking(FakeOrchestrator):
    """Breaks off behind the first chunk, fails then so many times, and goes on."""

    def __init__(self, num_failures: int) -> None:
        super().__init__()
        self.num_failures = num_failures

    async def Generate(  # noqa: N802, the contract's name
        self, request: pb.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.GenerateResponse]:
        started, first, *rest = quicksort_events()
        started.started.rollback_token, first.chunk.rollback_token = "p0", "p2"
        started.started.position = 5
        self.requests.append(request)
        if not request.HasField("continuation"):
            yield started
            yield first
        elif len(self.requests) > 1 + self.num_failures:
            started.started.position = 7
            for event in (started, *rest):
                yield event
            return
        await abort(context, DrainingError("shutting down; use another one"))


def started_at(position: int) -> pb.GenerateResponse:
    event = quicksort_events()[0]
    event.started.position = position
    return event


def chunk_at(position: int) -> pb.GenerateResponse:
    event = quicksort_events()[2]
    event.chunk.position = position
    return event


class TestBudget:
    def test_it_is_spent_at_half_and_is_earned_by_answers(self) -> None:
        budget = RetryBudget(max_tokens=10, token_ratio=0.1)
        for _ in range(4):
            budget.fail()
        assert not budget.is_spent
        budget.fail()
        assert budget.is_spent
        for _ in range(11):
            budget.succeed()
        assert not budget.is_spent
        for _ in range(1000):
            budget.succeed()
        for _ in range(5):
            budget.fail()
        assert budget.is_spent  # it never holds more than it began with

    async def test_repeats_stop_for_all_calls_where_too_many_fail(self) -> None:
        fake = draining()
        async with client_of([fake], retry_budget=RetryBudget(max_tokens=20)) as client:
            calls = [client.chat("hello") for _ in range(20)]
            failures = await asyncio.gather(*calls, return_exceptions=True)
            with pytest.raises(UnavailableError, match="shutting down") as caught:
                await client.chat("hello")
            assert "too many calls" in caught.value.__notes__[0]
        assert {type(failure) for failure in failures} == {UnavailableError}
        assert len(fake.requests) < 20 + 10 + 1 + 1  # without a budget: thousands

    async def test_a_stream_that_had_begun_is_gone_on_with_all_the_same(self) -> None:
        broken = FakeOrchestrator(quicksort_events()[:2])  # no summary: as cut off
        async with client_of([broken], retry_budget=RetryBudget(max_tokens=0)) as client:
            stream = client.stream("hello")
            chunks = [chunk async for chunk in stream]
            assert stream.answer.text == chunks[0].text == "int main"

    async def test_a_stream_that_had_begun_pays_for_no_failure_behind_it(self) -> None:
        fake = Breaking(num_failures=4)
        async with client_of([fake], retry_budget=RetryBudget(max_tokens=0)) as client:
            assert (await client.chat("hello")).text == "int main()"
        assert len(fake.requests) == 1 + 4 + 1


class TestElsewhere:
    async def test_a_call_goes_on_at_an_orchestrator_that_answers(self) -> None:
        fakes = [draining(), FakeOrchestrator(), draining()]
        async with client_of(fakes) as client:
            answers = await asyncio.gather(*(client.chat("hello") for _ in range(8)))
            assert (await client.models()).target.name == "big"
        assert {answer.text for answer in answers} == {"int main()"}

    async def test_one_that_is_silent_is_left(self) -> None:
        silent = FakeOrchestrator([], is_endless=True)
        retry = RetrySettings(first_pause_seconds=0.001, silence_seconds=0.2)
        async with client_of([silent, FakeOrchestrator()], retry=retry) as client:
            for _ in range(2):  # one of them begins at the silent one
                assert (await client.chat("hello")).text == "int main()"


class TwoChoices(FakeOrchestrator):
    """Breaks off behind the first chunk of each of two choices; what goes on with one is refused, or does not end."""

    def __init__(self, events: Sequence[pb.GenerateResponse] = ()) -> None:
        super().__init__(events, is_endless=True)
        self.is_going_on = asyncio.Event()

    async def Generate(  # noqa: N802, the contract's name
        self, request: pb.GenerateRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.GenerateResponse]:
        started, first, *_ = quicksort_events()
        if request.HasField("continuation"):
            self.is_going_on.set()
            async for event in super().Generate(request, context):
                yield event
            return
        for choice in range(2):
            started.started.position = 5
            first.choice = started.choice = choice
            started.started.rollback_token = first.chunk.rollback_token = f"p{choice}"
            yield started
            yield first
        await abort(context, DrainingError("shutting down; use another one"))


class TestChoices:
    REQUEST = GenerationRequest(RawPrompt("hello"), num_choices=2)

    async def test_a_choice_that_cannot_go_on_fails_the_call_by_its_own_error(self) -> None:
        error = PacelineError("expired")
        error.reason = "SESSION_NOT_FOUND"  # pyright: ignore[reportAttributeAccessIssue]
        fake = TwoChoices()
        async with client_of([fake]) as client:
            num_events = 0

            async def read() -> None:
                nonlocal num_events
                async for _ in client.generate(self.REQUEST):
                    num_events += 1
                    fake.error = error
                    await asyncio.sleep(0.02)  # who reads is not disturbed by a failure meanwhile

            with pytest.raises(SessionLostError):
                await read()
        assert num_events == 4

    async def test_leaving_choices_that_go_on_alone_ends_them_and_raises_nothing(self) -> None:
        fake = TwoChoices([started_at(7), quicksort_events()[-1]])
        async with client_of([fake]) as client:
            events = client.generate(self.REQUEST)
            for _ in range(4):
                await anext(events)
            going_on = asyncio.ensure_future(anext(events))
            await fake.is_going_on.wait()
            going_on.cancel()
            with pytest.raises(asyncio.CancelledError):
                await going_on
            await fake.cancelled.wait()

            events = client.generate(self.REQUEST)
            fake.events = [started_at(7), chunk_at(7), quicksort_events()[-1]]
            for _ in range(5):
                await anext(events)
            await events.aclose()


class TestDeadline:
    async def test_what_came_until_the_deadline_stays_with_the_caller(self) -> None:
        fake = FakeOrchestrator(is_endless=True)
        async with client_of([fake]) as client:
            stream = client.stream("hello", timeout_seconds=0.4)
            with pytest.raises(DeadlineExceededError, match="not finished within"):
                await stream.finish()
            assert (stream.answer.text, stream.answer.is_finished) == ("int main()", False)
            await fake.cancelled.wait()

    async def test_it_holds_for_all_attempts_together_and_for_every_call_of_a_client(self) -> None:
        async with client_of([draining()], timeout_seconds=0.3, retry_budget=RetryBudget(1e9)) as client:
            with pytest.raises(DeadlineExceededError, match="not finished within"):
                await client.chat("hello")
            with pytest.raises(DeadlineExceededError):
                await client.chat("hello", timeout_seconds=0.1)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("API_KEY_MISSING", NotAllowedError),
        ("ROLE_NOT_ALLOWED", NotAllowedError),
        ("PROMPT_TOO_LONG", RequestRefusedError),
        ("UNKNOWN_MODEL", RequestRefusedError),
        ("MESSAGE_TOO_LARGE", RequestRefusedError),
        ("SESSION_NOT_FOUND", SessionLostError),
        ("STALE_ROLLBACK_TOKEN", SessionLostError),
        ("SESSION_CANCELLED", SessionLostError),
        ("STALE_EPOCH", SessionTakenError),
    ],
)
async def test_what_a_repeat_cannot_help_is_told_at_once_by_its_type(
    reason: str, kind: type[CallFailedError]
) -> None:
    error = PacelineError("because")
    error.reason = reason  # pyright: ignore[reportAttributeAccessIssue]
    fake = FakeOrchestrator(error=error)
    async with client_of([fake]) as client:
        with pytest.raises(kind, match=reason) as caught:
            await client.chat("hello")
    assert caught.value.call_reason == reason
    assert not caught.value.is_temporary
    assert len(fake.requests) == 1


async def test_a_quota_that_is_not_free_again_before_the_deadline_is_told_at_once() -> None:
    error = PacelineError("used up", retry_after_seconds=30.0)
    error.reason = "QUOTA_EXCEEDED"  # pyright: ignore[reportAttributeAccessIssue]
    async with client_of([FakeOrchestrator(error=error)], timeout_seconds=5.0) as client:
        with pytest.raises(OverloadedError) as caught:
            await client.chat("hello")
    assert caught.value.retry_after_seconds == 30.0


async def test_a_quota_that_is_not_free_again_in_time_is_told_before_others_are_tried() -> None:
    error = PacelineError("used up", retry_after_seconds=30.0)
    error.reason = "QUOTA_EXCEEDED"  # pyright: ignore[reportAttributeAccessIssue]
    fakes = [FakeOrchestrator(error=error), FakeOrchestrator(error=error)]
    async with client_of(fakes, RetrySettings(give_up_at_first_seconds=0.0)) as client:
        with pytest.raises(OverloadedError):
            await client.chat("hello")
    assert sum(len(fake.requests) for fake in fakes) == 1


async def test_a_timeout_of_zero_is_a_deadline() -> None:
    async with client_of([FakeOrchestrator()]) as client:
        with pytest.raises(DeadlineExceededError):
            await client.chat("hello", timeout_seconds=0.0)


async def test_closing_ends_a_call_between_two_attempts() -> None:
    fake = draining()
    pauses = RetrySettings(first_pause_seconds=0.8)
    async with client_of([fake], pauses) as client:
        call = asyncio.create_task(client.chat("hello"))
        await fake.cancelled.wait()
        await asyncio.sleep(0.1)
        await client.close()
        with pytest.raises(ClientClosedError):
            await call


def test_every_reason_has_a_type() -> None:
    from paceline.client.errors import _KINDS_BY_CODE, _KINDS_BY_REASON  # noqa: PLC0415

    without = {
        reason
        for reason, code in STATUS_OF_REASON.items()
        if reason not in _KINDS_BY_REASON and code.name not in _KINDS_BY_CODE
    }
    assert without == {
        "POSITION_MISMATCH",
        "SUPERSEDED",
        "VOCABULARY_MISMATCH",
    }  # of replicas, never sent to clients
