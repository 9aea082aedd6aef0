"""Sessions that the store's tests keep."""

from collections.abc import Sequence

from orchestrator.session_record import (
    CacheOwner,
    Commit,
    NewSession,
    SessionOwners,
    SessionRecord,
    SessionStatus,
    TakeOver,
)
from orchestrator.session_store import SessionStore
from orchestrator.start import CommittedPoint
from paceline.rounds import prefix_digest
from paceline.sampling.parameters import SamplingParameters, Structure, StructureKind, Verification

OWNERS = SessionOwners(CacheOwner("target-0", "a"), CacheOwner("draft-0", "b"))
OTHER_OWNERS = SessionOwners(CacheOwner("target-1", "c"), None)
PROMPT = (1, 2, 0xFFFFFFFF)
SAMPLING = SamplingParameters(
    temperature=0.7,
    seed=(1 << 64) - 1,
    top_k=40,
    logit_bias=((1, -2.5),),
    end_ids=(2,),
    num_logprobs=0,
    verification=Verification.REJECTION,
    structure=Structure(StructureKind.REGEX, "[a-z]+"),
)


def new_session(session_id: str = "s", prompt_ids: tuple[int, ...] = PROMPT, **fields) -> NewSession:
    ids = (*prompt_ids, *fields.get("committed_ids", ()))
    return NewSession(session_id, 1, "tiny", prompt_ids, prefix_digest(ids), SAMPLING, OWNERS, **fields)


def commit_of(
    *ids: int, position: int, status=SessionStatus.RUNNING, before: Sequence[int] = PROMPT
) -> Commit:
    return Commit(position, ids, prefix_digest((*before, *ids)), status)


def take_over_of(
    record: SessionRecord, new_epoch: int, *ids: int, keep_position: int | None = None, **fields
) -> TakeOver:
    kept = record.ids if keep_position is None else record.ids[:keep_position]
    expected = CommittedPoint(record.epoch, len(record.ids))
    digest = prefix_digest((*kept, *ids))
    return TakeOver(expected, new_epoch, len(kept), ids, digest, OTHER_OWNERS, "orchestrator-1", **fields)


async def loaded(store: SessionStore, session_id: str = "s") -> SessionRecord:
    record = await store.load(session_id)
    assert record is not None
    return record
