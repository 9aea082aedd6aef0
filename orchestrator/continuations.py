"""Requests that go on with a session: resume, rewind and fork."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from orchestrator.conversation import Joined, join
from orchestrator.errors import (
    EmptyPromptError,
    ModelNotServedError,
    SessionCancelledError,
    SessionNotFoundError,
    StaleRollbackTokenError,
)
from orchestrator.generation_task import GenerationTask
from orchestrator.requests import RequestReader, check_min_tokens, check_prompt_length, stop_texts_of
from orchestrator.rollback_token import RollbackToken, TokenSigner
from orchestrator.session_record import SessionRecord, SessionStatus
from orchestrator.start import CommittedPoint, Start, TakenSession
from orchestrator.task_record import TaskRecord
from orchestrator.tenant import ANYBODY, Tenant
from paceline.errors import InvalidRequestError
from paceline.models.tokenizer import Tokenizer
from paceline.rounds import prefix_digest
from paceline.sampling.parameters import SamplingParameters
from paceline.v1 import model_pb2
from paceline.v1 import orchestrator_service_pb2 as messages

# A resumed session has everything else.
_FIELDS_OF_A_RESUME = frozenset({"continuation", "model"})


class SessionLoader(Protocol):
    """Reads records of sessions."""

    async def load(self, session_id: str) -> SessionRecord | None:
        """Return all of a session; None where there is none."""
        ...


@dataclass(frozen=True)
class _Point:
    """A session, and the point of it that a token names."""

    token: RollbackToken
    record: SessionRecord
    task: TaskRecord

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids up to the point."""
        return self.record.ids[: self.token.position]

    def taken(self, num_kept: int) -> TakenSession:
        """Return the session, to be taken over with so many of its ids."""
        record, token = self.record, self.token
        expected = CommittedPoint(record.epoch, len(record.ids))
        return TakenSession(token.session_id, expected, token.epoch, num_kept)

    def start(self, ids: tuple[int, ...], position: int) -> Start:
        """Return a start beside the caches that hold the session's ids."""
        owners = self.record.owners
        return Start(
            ids,
            position,
            target_replica_id=owners.target.replica_id,
            draft_replica_id=owners.draft.replica_id if owners.draft is not None else "",
        )


class ContinuationReader:
    """Turns requests with `continuation` into tasks."""

    def __init__(
        self, reader: RequestReader, tokenizer: Tokenizer, sessions: SessionLoader, signer: TokenSigner
    ) -> None:
        self._reader = reader
        self._tokenizer = tokenizer
        self._sessions = sessions
        self._signer = signer

    async def read(
        self, request: messages.GenerateRequest, target: model_pb2.ModelInfo, tenant: Tenant = ANYBODY
    ) -> GenerationTask:
        """Return the task of a tenant's request for the target's model.

        Raises InvalidRollbackTokenError, SessionNotFoundError, StaleRollbackTokenError, SessionCancelledError,
        SessionStoreUnavailableError, and what RequestReader raises. A session of another tenant is not found.
        """
        if request.model and request.model != target.name:
            raise ModelNotServedError(request.model, target.name)
        point = await self._point(self._signer.read(request.continuation.rollback_token), target, tenant)
        match request.continuation.mode:
            case messages.CONTINUATION_MODE_RESUME:
                return _resumed(request, point, target)
            case messages.CONTINUATION_MODE_REWIND:
                return await self._rewound(request, point, target, tenant)
            case messages.CONTINUATION_MODE_FORK:
                return await self._forked(request, point, target, tenant)
            case mode:
                raise InvalidRequestError(
                    f"continuation.mode is {mode}; say whether to resume, rewind or fork",
                    field="continuation.mode",
                    value=mode,
                )

    async def _point(self, token: RollbackToken, target: model_pb2.ModelInfo, tenant: Tenant) -> _Point:
        record = await self._sessions.load(token.session_id)
        if record is None or not tenant.may_continue(record.tenant):
            raise SessionNotFoundError(token.session_id)
        if record.status is SessionStatus.CANCELLED:
            raise SessionCancelledError(token.session_id)
        if record.model != target.name:
            raise ModelNotServedError(record.model, target.name)
        num_ids = len(record.ids)
        if token.position <= num_ids:
            is_there = prefix_digest(record.ids[: token.position]) == token.digest
        else:  # a store that has lost its last writes is behind the token; what it lost can be generated again
            is_there = record.epoch <= token.epoch
        if not is_there:
            raise StaleRollbackTokenError(token.session_id, token.position)
        return _Point(token, record, TaskRecord.read(token.session_id, record.task))

    async def _rewound(
        self, request: messages.GenerateRequest, point: _Point, target: model_pb2.ModelInfo, tenant: Tenant
    ) -> GenerationTask:
        _refuse_several_choices(request)
        joined = await self._joined(request, point, target)
        task = await self._with_wishes(request, point, joined, target, tenant)
        return replace(task, start=replace(task.start, taken=point.taken(joined.num_kept)))

    async def _forked(
        self, request: messages.GenerateRequest, point: _Point, target: model_pb2.ModelInfo, tenant: Tenant
    ) -> GenerationTask:
        joined = await self._joined(request, point, target)
        task = await self._with_wishes(request, point, joined, target, tenant)
        start = replace(task.start, fork_of=point.token.session_id)
        num_choices = self._reader.num_choices(request, tenant)
        return replace(task, start=start, num_choices=num_choices, tenant=tenant.name)

    async def _joined(
        self, request: messages.GenerateRequest, point: _Point, target: model_pb2.ModelInfo
    ) -> Joined:
        """Return the ids that the input leads to, and how many of the session's they begin with."""
        if point.token.position > len(point.record.ids):
            raise StaleRollbackTokenError(point.token.session_id, point.token.position)
        ids, kind = point.ids, request.WhichOneof("input")
        if kind is None:
            return Joined(ids, len(ids))
        new_ids = await self._reader.input_ids(request, target, begins_text=False)
        if kind == "chat":
            return join(ids, new_ids, self._tokenizer.bytes_of, self._tokenizer.control_ids)
        if not new_ids:
            raise EmptyPromptError
        return Joined((*ids, *new_ids), len(ids))

    async def _with_wishes(
        self,
        request: messages.GenerateRequest,
        point: _Point,
        joined: Joined,
        target: model_pb2.ModelInfo,
        tenant: Tenant,
    ) -> GenerationTask:
        """Return the task that goes on behind ids: what the request leaves unset is as the session has it."""
        _refuse_echo(request)
        has_input = request.WhichOneof("input") is not None
        ids, record, num_ids = joined.ids, point.task, len(joined.ids)
        check_prompt_length(num_ids, target)
        num_prompt_tokens = num_ids if has_input else min(point.record.num_prompt_ids, num_ids)
        if request.HasField("stop") or request.ignore_eos:
            end_ids = self._reader.end_ids(request, target)
            record = replace(record, stop_ids=tuple(sorted(end_ids)))
        sampling = self._sampling(request, point.record.sampling, record.stop_ids, target)
        await self._reader.check_structure(sampling, target)
        if request.HasField("stop"):
            record = replace(record, stop_texts=stop_texts_of(request, sampling))
        record = replace(record, stop_texts=replace(record.stop_texts, min_tokens=sampling.min_tokens))
        if request.HasField("speculation"):
            record = replace(record, speculation=self._reader.speculation(request))
        if has_input or request.HasField("max_tokens"):
            num_before = num_ids - num_prompt_tokens
            record = replace(record, max_tokens=num_before + self._reader.max_tokens(request, tenant))
        if has_input or request.prediction:
            record = replace(record, prediction_ids=await self._reader.prediction_ids(request, target))
        check_min_tokens(sampling, record.max_tokens)
        task = _task(record, point, ids, num_prompt_tokens, sampling, target)
        _check_room(task)
        return replace(task, num_new_prompt_tokens=num_ids - joined.num_kept)

    def _sampling(
        self,
        request: messages.GenerateRequest,
        before: SamplingParameters,
        end_ids: Sequence[int],
        target: model_pb2.ModelInfo,
    ) -> SamplingParameters:
        if request.HasField("sampling"):
            return self._reader.sampling(request, end_ids, target)
        return replace(before, end_ids=tuple(end_ids))


def _resumed(request: messages.GenerateRequest, point: _Point, target: model_pb2.ModelInfo) -> GenerationTask:
    for field, _ in request.ListFields():
        if field.name not in _FIELDS_OF_A_RESUME:
            raise InvalidRequestError(
                f"a session that is resumed has its own {field.name}; leave it out, or rewind the session",
                field=field.name,
            )
    token, record = point.token, point.record
    if token.position < record.num_prompt_ids:  # the session has gone on to another turn
        raise StaleRollbackTokenError(token.session_id, token.position)
    start = replace(
        point.start(record.ids, token.position),
        taken=point.taken(len(record.ids)),
        is_resumed=True,
        digest=token.digest if token.position > len(record.ids) else None,
    )
    task = _task(point.task, point, record.ids, record.num_prompt_ids, record.sampling, target)
    return replace(task, start=start)


def _task(
    record: TaskRecord,
    point: _Point,
    ids: tuple[int, ...],
    num_prompt_tokens: int,
    sampling: SamplingParameters,
    target: model_pb2.ModelInfo,
) -> GenerationTask:
    return GenerationTask(
        target.name,
        ids[:num_prompt_tokens],
        point.start(ids, len(ids)),
        record.stop_rules(num_prompt_tokens, target.max_context_tokens),
        record.stop_texts,
        record.speculation,
        replace(sampling, num_prompt_tokens=num_prompt_tokens),
        target.vocabulary_size,
        tenant=point.record.tenant,
        prediction_ids=record.prediction_ids,
    )


def _check_room(task: GenerationTask) -> None:
    """Refuse to go on where the session is at its limit already."""
    num_ids = len(task.start.ids)
    if task.stop_rules.num_remaining(num_ids) < 1:
        raise InvalidRequestError(
            f"the session has come to its limit of {task.stop_rules.max_tokens} tokens at this point; send max_tokens",
            field="max_tokens",
        )


def _refuse_echo(request: messages.GenerateRequest) -> None:
    if request.echo:
        raise InvalidRequestError(
            "echo sends back a prompt that begins a session; leave it out where a session goes on",
            field="echo",
        )


def _refuse_several_choices(request: messages.GenerateRequest) -> None:
    if request.HasField("num_choices") and request.num_choices != 1:
        raise InvalidRequestError(
            f"num_choices is {request.num_choices} and a session can be rewound to one answer only; fork it instead",
            field="num_choices",
            value=request.num_choices,
            maximum=1,
        )
