"""When a call is tried again: budgets, deadlines and silence, against orchestrators that fail."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from paceline.client import (
    AsyncClient,
    CallFailedError,
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
from paceline.errors import PacelineError
from paceline.serving.errors import DrainingError
from paceline.serving.status import STATUS_OF_REASON
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
