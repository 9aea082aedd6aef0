"""A pool of replicas behind TLS: certificates are replaced at both ends, and what does not fit is named."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from orchestrator.circuit_breaker import CircuitBreaker
from orchestrator.errors import ReplicaUnavailableError
from orchestrator.pool import TargetPool
from orchestrator.replica import ReconnectSettings, Standing
from orchestrator.replica_client import TargetClient
from orchestrator.rounds import VerifyRound
from paceline.client.replica_state import ReplicaState
from paceline.rounds import prefix_digest
from paceline.security.certificate_watch import CertificateWatch
from paceline.security.certificates import Role
from paceline.security.server_credentials import server_credentials
from paceline.security.trust import Trust
from paceline.serving.session_point import SessionPoint
from tests.certificates import Authority, Issued, MountedSecret
from tests.orchestrator.rig import TOKENIZER, target, until
from tests.orchestrator.scripted_replicas import ScriptedTarget, serving

NAME, CALLER = "paceline-target", "paceline-orchestrator"
OURS, OTHERS = Authority(), Authority()


@pytest.fixture
def replica_secret(tmp_path: Path) -> MountedSecret:
    return MountedSecret(tmp_path / "replica", OURS.issue(NAME))


@pytest.fixture
def secret(tmp_path: Path) -> MountedSecret:
    return MountedSecret(tmp_path / "orchestrator", OURS.issue(CALLER))


def secure_target(secret: MountedSecret) -> ScriptedTarget:
    watch = CertificateWatch(secret.files, Role.SERVER)
    return target(credentials=server_credentials(watch, asks_for_certificates=True))


@asynccontextmanager
async def pool_of(
    replica: ScriptedTarget, secret: MountedSecret | None, name: str = NAME
) -> AsyncIterator[TargetPool]:
    trust = None if secret is None else Trust(CertificateWatch(secret.files, Role.CLIENT), name)
    pool = TargetPool(
        (replica.replica.address,),
        TargetClient,
        TOKENIZER.vocabulary_hash,
        partial(CircuitBreaker, 0.5, 30.0),
        ReconnectSettings(),
        trust=trust,
    )
    async with pool.connected():
        yield pool


def is_connected(pool: TargetPool) -> bool:
    return len(pool.descriptions) == 1


async def verify(pool: TargetPool, round_number: int) -> None:
    point = SessionPoint("session", 1, 0, prefix_digest([]), (1, 2, 3))
    await pool.replicas[0].ask(VerifyRound(point, round_number, ()))


async def broken_stream(session_id: str, round_number: int) -> None:
    raise ConnectionError


async def test_a_stream_outlives_its_certificates_and_the_next_connection_has_the_new_ones(
    replica_secret: MountedSecret, secret: MountedSecret
) -> None:
    replica = secure_target(replica_secret)
    async with serving(replica), pool_of(replica, secret) as pool:
        await until(lambda: is_connected(pool))
        description = pool.descriptions[0]
        replica_secret.replace(OTHERS.issue(NAME))
        secret.replace(OTHERS.issue("renamed"))
        await verify(pool, 1)
        assert pool.descriptions[0] is description, "it is the same connection"
        assert replica.replica.callers == [CALLER]

        replica.replica.fault = broken_stream
        with pytest.raises(ReplicaUnavailableError):
            await verify(pool, 2)
        await until(lambda: is_connected(pool))
        assert replica.replica.callers == [CALLER, "renamed"]


@pytest.mark.parametrize(
    ("issued", "name", "reason"),
    [
        (OTHERS.issue(CALLER), NAME, "CERTIFICATE_OF_ANOTHER_CA"),
        (OTHERS.issue(CALLER).trusting(OURS), NAME, "OWN_CERTIFICATE_REFUSED"),
        (OURS.issue(CALLER), "paceline-draft", "CERTIFICATE_OF_ANOTHER_NAME"),
    ],
)
async def test_a_connection_that_is_refused_is_named_and_logged(
    tmp_path: Path, replica_secret: MountedSecret, issued: Issued, name: str, reason: str
) -> None:
    replica = secure_target(replica_secret)
    secret = MountedSecret(tmp_path / "orchestrator", issued)
    with capture_logs() as lines:
        async with serving(replica), pool_of(replica, secret, name) as pool:
            standing = Standing(ReplicaState.REFUSED, reason)
            await until(lambda: pool.replicas[0].standing == standing)
            assert not pool.descriptions
    refused = next(line for line in lines if line["event"] == "replica_refused")
    assert (refused["reason"], refused["address"]) == (reason, replica.replica.address)


async def test_an_orchestrator_in_plain_text_is_told_that_its_replica_speaks_tls(
    replica_secret: MountedSecret,
) -> None:
    replica = secure_target(replica_secret)
    async with serving(replica), pool_of(replica, None) as pool:
        standing = Standing(ReplicaState.REFUSED, "TLS_REQUIRED")
        await until(lambda: pool.replicas[0].standing == standing)


async def test_the_right_certificates_connect_without_a_restart(
    tmp_path: Path, replica_secret: MountedSecret
) -> None:
    replica = secure_target(replica_secret)
    secret = MountedSecret(tmp_path / "orchestrator", OTHERS.issue(CALLER))
    async with serving(replica), pool_of(replica, secret) as pool:
        await until(lambda: pool.replicas[0].standing.state is ReplicaState.REFUSED)
        secret.replace(OURS.issue(CALLER))
        await until(lambda: is_connected(pool))
