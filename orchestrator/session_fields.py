"""Sessions as the fields of Redis' hashes and back; the fields are in docs/rounds.md."""

import struct
from collections.abc import Iterator, Sequence

from pydantic import TypeAdapter

from orchestrator.session_record import (
    CacheOwner,
    NewSession,
    SessionOverview,
    SessionOwners,
    SessionRecord,
    SessionStatus,
    TakeOver,
)
from paceline.sampling.parameters import SamplingParameters

_BYTES_PER_ID = 4
_SAMPLING = TypeAdapter(SamplingParameters)

Value = str | int | float | bytes
Fields = dict[bytes, bytes]


def pack_ids(ids: Sequence[int]) -> bytes:
    """Return ids as 4 bytes each, little-endian."""
    return struct.pack(f"<{len(ids)}I", *ids)


def unpack_ids(packed_ids: bytes) -> tuple[int, ...]:
    """Return the ids of `pack_ids`."""
    return struct.unpack(f"<{len(packed_ids) // _BYTES_PER_ID}I", packed_ids)


def fields_of_new(session: NewSession) -> Iterator[Value]:
    """Yield fields and values of a new session."""
    yield from ("model", session.model, "digest", session.digest)
    yield from ("num_prompt_ids", len(session.prompt_ids))
    yield from ("sampling", _SAMPLING.dump_json(session.sampling), "task", session.task)
    yield from ("orchestrator", session.orchestrator, "tenant", session.tenant)
    yield from fields_of_owners(session.owners)


def fields_of_take_over(take_over: TakeOver) -> Iterator[Value]:
    """Yield fields and values that a take-over changes, its orchestrator apart."""
    yield from ("digest", take_over.digest)
    yield from fields_of_owners(take_over.owners)
    if take_over.num_prompt_ids is not None:
        yield from ("num_prompt_ids", take_over.num_prompt_ids)
    if take_over.sampling is not None:
        yield from ("sampling", _SAMPLING.dump_json(take_over.sampling))
    if take_over.task is not None:
        yield from ("task", take_over.task)


def fields_of_record(record: SessionRecord) -> Iterator[Value]:
    """Yield fields and values of a whole session, epoch, position, status and times apart."""
    yield from ("model", record.model, "digest", record.digest)
    yield from ("num_prompt_ids", record.num_prompt_ids)
    yield from ("sampling", _SAMPLING.dump_json(record.sampling), "task", record.task)
    yield from ("orchestrator", record.orchestrator, "tenant", record.tenant)
    yield from fields_of_owners(record.owners)


def fields_of_owners(owners: SessionOwners) -> Iterator[str]:
    """Yield fields and values of the owners of both caches."""
    for pool, owner in (("target", owners.target), ("draft", owners.draft)):
        yield from (f"{pool}_replica", owner.replica_id if owner else "")
        yield from (f"{pool}_incarnation", owner.incarnation if owner else "")


def record_of(session_id: str, epoch: int, fields: Fields, packed_ids: bytes) -> SessionRecord:
    """Return the session of all its fields."""
    return SessionRecord(
        session_id,
        epoch,
        SessionStatus(fields[b"status"].decode()),
        fields[b"model"].decode(),
        unpack_ids(packed_ids),
        int(fields[b"num_prompt_ids"]),
        fields[b"digest"],
        _SAMPLING.validate_json(fields[b"sampling"]),
        _owners(fields),
        int(fields[b"lease_deadline_ms"]),
        fields[b"task"].decode(),
        fields[b"orchestrator"].decode(),
        int(fields[b"updated_ms"]),
        _tenant(fields),
    )


def overview_of(
    session_id: str, epoch: int, position: int, fields: Fields, ttl_ms: int, now_ms: int
) -> SessionOverview:
    """Return what an operator sees of a session."""
    status = SessionStatus(fields[b"status"].decode())
    lease_seconds = (int(fields[b"lease_deadline_ms"]) - now_ms) / 1000
    return SessionOverview(
        session_id,
        status,
        fields[b"model"].decode(),
        epoch,
        position,
        int(fields[b"num_prompt_ids"]),
        fields[b"digest"],
        _owners(fields),
        fields[b"orchestrator"].decode(),
        lease_seconds if status is SessionStatus.RUNNING else None,
        (now_ms - int(fields[b"updated_ms"])) / 1000,
        ttl_ms / 1000,
        fields[b"sampling"].decode(),
        _tenant(fields),
    )


def _tenant(fields: Fields) -> str:
    """Return whose session it is; older versions left it out."""
    return (fields.get(b"tenant") or b"").decode()


def _owners(fields: Fields) -> SessionOwners:
    target = _owner(fields, b"target")
    assert target is not None, "every session has a target"
    return SessionOwners(target, _owner(fields, b"draft"))


def _owner(fields: Fields, pool: bytes) -> CacheOwner | None:
    replica_id = fields[pool + b"_replica"].decode()
    return CacheOwner(replica_id, fields[pool + b"_incarnation"].decode()) if replica_id else None
