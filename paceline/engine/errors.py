"""What the engine refuses, and why. Every refusal leaves the sequence as it was."""

from paceline.errors import PacelineError


class BlocksExhaustedError(PacelineError):
    """The KV cache has too few free blocks (`num_needed`, `num_free`, `num_total`); nothing was applied."""

    reason = "KV_BLOCKS_EXHAUSTED"


class WorkTooLargeError(BlocksExhaustedError):
    """The work needs more blocks than there are (`num_needed`, `num_free`, `num_total`): no waiting helps."""


class WorkAbandonedError(PacelineError):
    """Nobody wants the work's answer any more; what it had computed stays."""

    reason = "SUPERSEDED"


class ContextTooLongError(PacelineError):
    """The work would make the sequence longer than the model's context (`num_tokens`, `max_context_tokens`)."""

    reason = "CONTEXT_TOO_LONG"


class TokenOutOfVocabularyError(PacelineError):
    """A token id is not smaller than the vocabulary size (`token_id`, `vocabulary_size`)."""

    reason = "TOKEN_OUT_OF_VOCABULARY"


class PositionMismatchError(PacelineError):
    """The sequence does not hold the ids before `position` (`position`, `known_position`)."""

    reason = "POSITION_MISMATCH"


class SequenceClosedError(PacelineError):
    """The sequence was closed before or while the work ran."""

    reason = "SUPERSEDED"


class EngineStoppedError(PacelineError):
    """The engine was stopped before the work ended."""

    reason = "DRAINING"


class EngineFailedError(PacelineError):
    """A forward pass failed; the engine serves no more, and its process should be restarted."""

    reason = "ENGINE_FAILED"


class UnsupportedModelError(PacelineError):
    """The model directory holds no model that this engine can build (`path`, and what is missing)."""

    reason = "UNSUPPORTED_MODEL"


class SelfTestError(PacelineError):
    """The loaded model computes logits that no setting of the engine explains, for example NaN (`check`)."""

    reason = "SELF_TEST_FAILED"
