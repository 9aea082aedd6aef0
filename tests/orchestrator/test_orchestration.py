"""Generating in the orchestrator's own process, as its gateway does: the same text, and the same end."""

from contextlib import aclosing

import pytest

from orchestrator.departure import Departure
from orchestrator.tenant import ANYBODY, Quotas, Tenant
from paceline.serving.errors import DrainingError
from paceline.v1 import orchestrator_service_pb2 as messages
from tests.orchestrator.rig import TOKENIZER, draft, ids_request, orchestrating, target, until
from tests.orchestrator.scripted_model import continuation
from tests.orchestrator.test_generation import PROMPT


def request(max_tokens: int, **fields) -> messages.GenerateRequest:
    return messages.GenerateRequest(
        token_ids=messages.TokenIdsInput(ids=PROMPT), max_tokens=max_tokens, **fields
    )


async def test_callers_in_the_process_get_the_events_that_callers_over_grpc_get(redis):
    async with orchestrating(redis.url, [target(), draft()]) as rig:
        responses = [one async for one in rig.orchestration.generate(request(40), ANYBODY)]
        completion = await rig.client.complete(ids_request(PROMPT, 40))
    kinds = [one.WhichOneof("event") for one in responses]
    assert kinds == ["started", *["chunk"] * (len(kinds) - 2), "summary"]
    ids = tuple(token.id for one in responses for token in one.chunk.tokens)
    assert ids == completion.token_ids == tuple(continuation(PROMPT, 40))
    assert "".join(one.chunk.text for one in responses) == TOKENIZER.decode(ids)


async def test_a_caller_that_goes_while_it_holds_a_chunk_has_its_session_given_up(redis):
    async with orchestrating(redis.url, [target(), draft()]) as rig:
        departure = Departure()
        async with aclosing(rig.orchestration.generate(request(4000), ANYBODY, (), departure)) as responses:
            session_id = (await anext(responses)).started.session_id
            await anext(responses)
            departure.note()
            await until(lambda: all(session_id not in one.caches for one in (*rig.targets, *rig.drafts)))
        assert (await rig.stored(session_id)).status == "suspended"


async def test_a_generator_that_is_closed_gives_its_session_up(redis):
    async with orchestrating(redis.url, [target(), draft()]) as rig:
        async with aclosing(rig.orchestration.generate(request(4000), ANYBODY)) as responses:
            session_id = (await anext(responses)).started.session_id
            await anext(responses)
        assert (await rig.stored(session_id)).status == "suspended"


async def test_a_departure_that_is_noted_early_is_not_forgotten():
    departure, done = Departure(), []
    departure.then(lambda: done.append("before"))
    departure.note()
    departure.then(lambda: done.append("after"))
    departure.note()
    assert done == ["before", "after"]


async def test_a_tenants_limits_are_those_of_the_model_that_it_sees(redis):
    tenant = Tenant("example", quotas=Quotas(max_tokens=12))
    async with orchestrating(redis.url, [target()]) as rig:
        assert rig.orchestration.model(tenant).limits.max_tokens == 12
        assert rig.orchestration.model(ANYBODY).limits.max_tokens > 12


async def test_nothing_begins_while_the_orchestrator_drains(redis):
    async with orchestrating(redis.url, [target()]) as rig:
        rig.draining.set()
        with pytest.raises(DrainingError):
            await anext(rig.orchestration.generate(request(4), ANYBODY))
