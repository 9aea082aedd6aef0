"""How many calls may be repeated when many of them fail."""

import threading


class RetryBudget:
    """Stops repeats where too large a share of calls fails, so that they do not keep a cluster down.

    A bucket of tokens, as that of gRPC's retry throttling (proposal A6): a failure that a repeat might help with takes
    one token, a call that is answered gives `token_ratio` back, and nothing is repeated while half of the bucket or
    less is left. Any thread may use it, and several clients may share one.

    Example: with 10 tokens and a ratio of 0.1, five failures in a row end all repeats, and the ten calls answered next
    allow one again. In the long run about one call in ten may fail and be repeated.
    """

    def __init__(self, max_tokens: float = 100.0, token_ratio: float = 0.1) -> None:
        self._max_tokens = max_tokens
        self._token_ratio = token_ratio
        self._num_tokens = max_tokens
        self._lock = threading.Lock()

    @property
    def is_spent(self) -> bool:
        """Whether nothing may be repeated now."""
        return self._num_tokens <= self._max_tokens / 2

    def succeed(self) -> None:
        """Note a call that was answered."""
        with self._lock:
            self._num_tokens = min(self._num_tokens + self._token_ratio, self._max_tokens)

    def fail(self) -> None:
        """Note a failure that a repeat might help with."""
        with self._lock:
            self._num_tokens = max(self._num_tokens - 1.0, 0.0)
