"""The memory-bandwidth floor: no pass can be faster than what it has to read can be read."""

from dataclasses import dataclass

from benchmarks.passes.case import Case


def copied_bytes_per_second(num_bytes: int, seconds: float) -> float:
    """Return the bandwidth that a copy shows: it reads each byte and writes it, so that 2 move for each one copied.

    Example: a copy of 1 GB in 1 ms is 2 TB/s.
    """
    return 2 * num_bytes / seconds


@dataclass(frozen=True)
class Floor:
    """What a pass reads whatever its kernels are, and how fast the device's memory is.

    Weights count once a pass, and the KV of each session once, however many of its rows look at it. Activations, logits
    and what is written are left out: the floor is a bound, and below a few hundred rows they are little beside it.
    Reading alone may be somewhat faster than copying, so that a pass just below the floor is possible.

    Attributes:
        weight_bytes: All weights but an embedding that is only looked up.
        kv_bytes_per_token: Keys and values of one token, all layers.
        bytes_per_second: As `copied_bytes_per_second` has it.
    """

    weight_bytes: int
    kv_bytes_per_token: int
    bytes_per_second: float

    def bytes_of(self, case: Case) -> int:
        """Return what one pass over all rows of a case reads."""
        num_tokens = case.num_sessions * (case.context + case.num_rows)
        return self.weight_bytes + num_tokens * self.kv_bytes_per_token

    def milliseconds_of(self, case: Case) -> float:
        """Return how long that takes."""
        return 1e3 * self.bytes_of(case) / self.bytes_per_second
