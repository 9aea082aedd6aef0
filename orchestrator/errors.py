"""What the orchestrator refuses or loses, and why."""

import math
from collections.abc import Mapping

from paceline.errors import InvalidRequestError, PacelineError
from paceline.serving.errors import StaleEpochError
from paceline.serving.version import ServiceVersion


class EmptyPromptError(InvalidRequestError):
    """The input comes to no token at all."""

    reason = "EMPTY_PROMPT"

    def __init__(self) -> None:
        super().__init__("the input comes to no token; send at least one")


class PromptTooLongError(InvalidRequestError):
    """The prompt has more tokens than may be sent (`max_prompt_tokens`, and what was measured)."""

    reason = "PROMPT_TOO_LONG"


class ModelNotServedError(PacelineError):
    """A request names a model that is not served here (`name`, `served`)."""

    reason = "UNKNOWN_MODEL"

    def __init__(self, name: str, served: str) -> None:
        super().__init__(
            f"the model {name!r} is not served here; {served!r} is, and so is whatever is served if you name none",
            name=name,
            served=served,
        )


class InvalidRollbackTokenError(InvalidRequestError):
    """A rollback token is forged, cut short or of another installation."""

    reason = "INVALID_ROLLBACK_TOKEN"

    def __init__(self, cause: str) -> None:
        super().__init__(
            f"the rollback token is not valid: {cause}; send one as it came, or begin a new generation",
            field="continuation.rollback_token",
        )


class StaleRollbackTokenError(PacelineError):
    """A rollback token names a point that its session no longer has (`session_id`, `position`)."""

    reason = "STALE_ROLLBACK_TOKEN"

    def __init__(self, session_id: str, position: int) -> None:
        super().__init__(
            f"the session {session_id} was rewound or changed and no longer has this point at {position}; "
            "use a token that came later, or begin a new generation",
            session_id=session_id,
            position=position,
        )


class SessionNotFoundError(PacelineError):
    """There is no such session, or it has expired (`session_id`)."""

    reason = "SESSION_NOT_FOUND"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"there is no session {session_id}: it has expired, or Redis has lost it; begin a new generation",
            session_id=session_id,
        )


class SessionMovedError(StaleEpochError):
    """A session went on between reading its record and taking it over (`session_id`); read it again."""


class SessionLostError(PacelineError):
    """Redis does not hold what it had acknowledged of a session (`session_id`, `code`); its owner can put it back."""

    reason = "SESSION_STORE_UNAVAILABLE"


class SessionCancelledError(PacelineError):
    """An operator has ended the session (`session_id`)."""

    reason = "SESSION_CANCELLED"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"the session {session_id} was cancelled by an operator; begin a new generation",
            session_id=session_id,
        )


class ApiKeyMissingError(PacelineError):
    """A call has no API key, and this orchestrator tells its callers apart by it."""

    reason = "API_KEY_MISSING"

    def __init__(self) -> None:
        super().__init__(
            "the call has no API key; send it with the header, or the metadata, authorization: Bearer KEY"
        )


class ApiKeyInvalidError(PacelineError):
    """No tenant has the API key of a call."""

    reason = "API_KEY_INVALID"

    def __init__(self) -> None:
        super().__init__("no tenant has this API key; check it, or ask for a new one")


class ApiKeyExpiredError(PacelineError):
    """The API key of a call is no longer good (`tenant`)."""

    reason = "API_KEY_EXPIRED"

    def __init__(self, tenant: str) -> None:
        super().__init__(f"this API key of the tenant {tenant} has expired; ask for a new one", tenant=tenant)


class RoleNotAllowedError(PacelineError):
    """A tenant calls what is not for its role (`tenant`, `role`, `needed_role`)."""

    reason = "ROLE_NOT_ALLOWED"

    def __init__(self, tenant: str, role: str, needed_role: str) -> None:
        super().__init__(
            f"the tenant {tenant} has the role {role}, and this call is for the role {needed_role}; "
            "use a key of a tenant that has it",
            tenant=tenant,
            role=role,
            needed_role=needed_role,
        )


class QuotaExceededError(PacelineError):
    """A tenant has used up a quota (`tenant`, `quota`, `limit`, `retry_after_seconds`)."""

    reason = "QUOTA_EXCEEDED"

    def __init__(self, tenant: str, quota: str, limit: int, retry_after_seconds: float) -> None:
        seconds = math.ceil(10 * retry_after_seconds) / 10
        super().__init__(
            f"the tenant {tenant} has used up its {quota}, {limit}; try again in {seconds} s, or ask for more",
            tenant=tenant,
            quota=quota,
            limit=limit,
            retry_after_seconds=seconds,
        )


class NoTargetReplicaError(PacelineError):
    """No replica of the target is ready (`addresses`)."""

    reason = "NO_TARGET_REPLICA"


class SessionStoreUnavailableError(PacelineError):
    """Redis does not answer, or no longer holds what it acknowledged (`session_id`); try again later."""

    reason = "SESSION_STORE_UNAVAILABLE"


class ReplicaUnavailableError(PacelineError):
    """A replica did not answer a round and may not have got it (`address`); another one may be asked.

    `reason` is CONNECTION_LOST, SILENT or NOT_CONNECTED, or what the replica said itself: DRAINING, ENGINE_FAILED,
    MODEL_NOT_READY or SUPERSEDED.
    """

    def __init__(self, reason: str, message: str, **facts: object) -> None:
        super().__init__(message, **facts)
        self.reason = reason  # pyright: ignore[reportAttributeAccessIssue], of this loss, not of the class


class BrokenContractError(PacelineError):
    """A replica answered what the contract does not allow (`address`)."""

    reason = "BROKEN_CONTRACT"


class RoundFailedError(PacelineError):
    """A replica refused a round; `reason` is the one that it gave."""

    def __init__(self, reason: str, message: str, metadata: Mapping[str, str]) -> None:
        super().__init__(message, **metadata)
        self.reason = reason  # pyright: ignore[reportAttributeAccessIssue], of this refusal, not of the class


class VocabularyMismatchError(PacelineError):
    """A replica's vocabulary is not the served model's (`replica_id`, `model`); it is not used."""

    reason = "VOCABULARY_MISMATCH"

    def __init__(self, replica_id: str, model: str) -> None:
        super().__init__(
            f"the replica {replica_id} hosts {model!r}, whose vocabulary is not that of the served model's "
            "tokenizer; give it a model of the same family, or check --model",
            replica_id=replica_id,
            model=model,
        )


class WrongModelError(PacelineError):
    """A replica hosts another model than the rest of its pool (`replica_id`, `model`, `expected`); it is not used."""

    reason = "WRONG_MODEL"

    def __init__(self, replica_id: str, model: str, expected: str) -> None:
        super().__init__(
            f"the replica {replica_id} hosts {model!r} and its pool {expected!r}; give it the same model",
            replica_id=replica_id,
            model=model,
            expected=expected,
        )


class VersionNotSupportedError(PacelineError):
    """A replica and this orchestrator do not work together (`replica_id`, `replica`, `orchestrator`); it is unused."""

    reason = "VERSION_NOT_SUPPORTED"

    def __init__(self, replica_id: str, replica: ServiceVersion, orchestrator: ServiceVersion) -> None:
        is_replica_old = replica.is_too_old_for(orchestrator)
        older, newer = ("replica", orchestrator) if is_replica_old else ("orchestrator", replica)
        super().__init__(
            f"the replica {replica_id} is {replica}, this orchestrator {orchestrator}, and the newer one works with "
            f"contract {newer.oldest_contract} and later; upgrade the {older}",
            replica_id=replica_id,
            replica=str(replica),
            orchestrator=str(orchestrator),
        )
