"""What the orchestrator refuses or loses, and why."""

from collections.abc import Mapping

from paceline.errors import InvalidRequestError, PacelineError


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


class NoTargetReplicaError(PacelineError):
    """No replica of the target is ready (`addresses`)."""

    reason = "NO_TARGET_REPLICA"


class SessionStoreUnavailableError(PacelineError):
    """Redis does not answer, or no longer holds what it acknowledged (`session_id`); try again later."""

    reason = "SESSION_STORE_UNAVAILABLE"


class ReplicaUnavailableError(PacelineError):
    """A replica did not answer a round and may not have got it (`address`); another one may be asked."""

    reason = "REPLICA_UNAVAILABLE"


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
