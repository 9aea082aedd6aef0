"""What the engine needs of whatever computes a model: OpenVINO, or PyTorch on an accelerator."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from paceline.engine.batch import Batch
from paceline.engine.errors import BlocksExhaustedError
from paceline.engine.precision import Precision
from paceline.engine.work import Logits, RowChoice
from paceline.errors import PacelineError

# The self-test needs three sequences of 112 tokens beside the padding block.
MIN_BLOCKS = 13


class PassLogits(Protocol):
    """Logits of one pass [num_logits, vocab_size], wherever they lie; valid until the next pass."""

    def __getitem__(self, rows: slice, /) -> Logits:
        """Return some rows, in the host's memory."""
        ...


@runtime_checkable
class DeviceLogits(Protocol):
    """Logits that lie on a device, which can choose ids from them: a row of them is not worth a transfer."""

    def choose_ids(self, choices: Sequence[RowChoice | None]) -> list[int | None]:
        """Return the id of each row, in order; None where no choice is given, or where only the host can tell."""
        ...


class ModelRunner(Protocol):
    """A model with its KV cache. One thread at a time.

    Attributes:
        num_blocks: Blocks of the cache, the padding block included.
        block_size: Tokens a block.
        kv_bytes_per_token: Bytes of KV one token takes, all layers.
        least_rows: Fewest rows of a pass whose bits the self-test may hope to be those of every other pass.
    """

    num_blocks: int
    block_size: int
    kv_bytes_per_token: int
    least_rows: int

    def forward(self, batch: Batch) -> PassLogits:
        """Run one pass; the KV of every row is written. The pass holds no interpreter lock while it computes."""
        ...

    def copy_block(self, source: int, destination: int) -> None:
        """Copy the KV of one block over another's, in all layers."""
        ...


@runtime_checkable
class ClosableRunner(Protocol):
    """A runner that holds more than memory: other processes."""

    def close(self) -> bool:
        """End what it holds; False where something of it computes on, and the process should end."""
        ...


@runtime_checkable
class BreakableRunner(Protocol):
    """A runner that may break while nobody asks anything of it."""

    def on_break(self, tell: Callable[[PacelineError], None]) -> None:
        """Have somebody told when it breaks, on any thread, or at once where it has; also when it is closed."""
        ...


@dataclass(frozen=True)
class LoadedRunner:
    """A model that is ready to be tested and served.

    Attributes:
        runner: What computes it.
        name: The model's name in requests.
        family: Its architecture.
        weights: Format of its weights.
        precision: Of the computation and of the KV cache.
        device: Where it computes.
        vocabulary_size: Columns of its logits.
        max_context_tokens: Longest sequence that it was trained for.
        kernel_settings: All that decides which kernels run, besides the processor.
        may_keep_record: Whether its directory is ours to keep the self-test's verdict in.
    """

    runner: ModelRunner
    name: str
    family: str
    weights: str
    precision: Precision
    device: str
    vocabulary_size: int
    max_context_tokens: int
    kernel_settings: Mapping[str, Any]
    may_keep_record: bool = True


def close_runner(runner: ModelRunner) -> bool:
    """Close a runner that holds more than memory; see `ClosableRunner`."""
    return runner.close() if isinstance(runner, ClosableRunner) else True


def count_blocks(kv_cache_bytes: int, bytes_per_block: int) -> int:
    """Return how many blocks fit; raises BlocksExhaustedError where they are too few to be of use."""
    num_blocks = kv_cache_bytes // bytes_per_block
    if num_blocks < MIN_BLOCKS:
        least = MIN_BLOCKS * bytes_per_block
        message = f"{kv_cache_bytes} bytes hold {num_blocks} blocks of KV; give at least {least}."
        raise BlocksExhaustedError(message, num_total=num_blocks)
    return num_blocks
