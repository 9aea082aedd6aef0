"""What a service refuses on behalf of its callers."""

from paceline.errors import PacelineError


class StaleEpochError(PacelineError):
    """The caller's epoch is lower than the highest seen of the session (`epoch`, `known_epoch`)."""

    reason = "STALE_EPOCH"


class SupersededError(PacelineError):
    """A newer request or a release of the same session took this one's place (`session_id`)."""

    reason = "SUPERSEDED"


class TooManySessionsError(PacelineError):
    """The process already serves as many sessions as it may (`max_sessions`)."""

    reason = "TOO_MANY_SESSIONS"


class MessageTooLargeError(PacelineError):
    """A request message has too many bytes (`num_bytes`, `max_message_bytes`)."""

    reason = "MESSAGE_TOO_LARGE"


class InvalidUtf8Error(PacelineError):
    """A string of a request is not UTF-8."""

    reason = "INVALID_UTF8"


class ModelNotReadyError(PacelineError):
    """The model is still loading or being tested."""

    reason = "MODEL_NOT_READY"


class DrainingError(PacelineError):
    """The process is shutting down and admits nothing new."""

    reason = "DRAINING"


class PeerNotAllowedError(PacelineError):
    """The caller's certificate bears none of the names that may call this service (`names`)."""

    reason = "PEER_NOT_ALLOWED"
