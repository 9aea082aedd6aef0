"""Replicas of other releases: used where both understand each other, else refused with a sentence that names both."""

from functools import partial

import pytest

from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.errors import VersionNotSupportedError
from orchestrator.pool import DraftPool
from orchestrator.replica import ReconnectSettings
from orchestrator.replica_client import DraftClient, ReplicaDescription
from orchestrator.session_record import CacheOwner
from paceline.client.replica_state import ReplicaState
from paceline.serving.version import CONTRACT, ServiceVersion
from paceline.v1 import model_pb2
from tests.orchestrator.rig import TOKENIZER, draft, ids_request, orchestrating, target
from tests.orchestrator.test_generation import PROMPT, check_invariants

OURS = ServiceVersion("1.4.0", 7, 5)
TOO_NEW = model_pb2.ServiceVersion(release="9.0.0", contract=CONTRACT + 2, oldest_contract=CONTRACT + 1)
NEWER = model_pb2.ServiceVersion(release="9.0.0", contract=CONTRACT + 2, oldest_contract=CONTRACT)


def refusal_of(version: ServiceVersion) -> str:
    """What a pool of our version says of a replica."""
    breaker = partial(CircuitBreaker, 0.5, 30.0)
    pool = DraftPool((), DraftClient, TOKENIZER.vocabulary_hash, breaker, ReconnectSettings(), version=OURS)
    model = model_pb2.ModelInfo(name="draft", vocabulary_sha256=TOKENIZER.vocabulary_hash)
    with pytest.raises(VersionNotSupportedError) as caught:
        pool.admit(ReplicaDescription(CacheOwner("draft-3", "1"), model, version=version))
    assert (pool.num_refused, pool.reason_for_none) == (1, "VERSION_NOT_SUPPORTED")
    return caught.value.message


def test_a_replica_that_is_too_old_is_refused_with_both_versions():
    assert refusal_of(ServiceVersion("1.1.0", 4, 2)) == (
        "the replica draft-3 is 1.1.0 with contract 4, this orchestrator 1.4.0 with contract 7, and the newer one "
        "works with contract 5 and later; upgrade the replica"
    )
    assert "the replica draft-3 is an unnamed release with contract 0" in refusal_of(ServiceVersion())


def test_a_replica_that_is_too_new_is_refused_with_both_versions():
    assert refusal_of(ServiceVersion("2.0.0", 9, 8)) == (
        "the replica draft-3 is 2.0.0 with contract 9, this orchestrator 1.4.0 with contract 7, and the newer one "
        "works with contract 8 and later; upgrade the orchestrator"
    )


async def test_a_newer_replica_that_understands_us_is_used(redis):
    async with orchestrating(redis.url, [target(version=NEWER), draft(version=NEWER)]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 30))
        await check_invariants(rig, completion)
    assert not completion.summary.speculation.num_degraded_rounds
    assert {one.version.release for one in rig.target_pool.descriptions} <= {"9.0.0"}


async def test_a_draft_that_is_too_new_is_not_used_and_the_text_comes_without_it(redis):
    async with orchestrating(redis.url, [target(), draft(version=TOO_NEW)]) as rig:
        completion = await rig.client.complete(ids_request(PROMPT, 30))
        await check_invariants(rig, completion)
        assert not rig.drafts[0].rounds
        standing = rig.draft_pool.replicas[0].standing
    assert (standing.state, standing.reason) == (ReplicaState.REFUSED, "VERSION_NOT_SUPPORTED")
    assert set(completion.summary.speculation.num_degraded_rounds) == {"VERSION_NOT_SUPPORTED"}


async def test_targets_of_old_and_new_releases_serve_side_by_side(redis):
    async with orchestrating(redis.url, [target(0), target(1, version=NEWER)]) as rig:
        assert len(rig.target_pool.descriptions) == 2
