"""A model in slices, one a process: the engine's own has the first one, and the scheduler."""

from collections.abc import Callable
from functools import partial

import torch

from paceline.engine.batch import Batch
from paceline.engine.config import EngineConfig
from paceline.engine.pytorch.followers import Followers
from paceline.engine.pytorch.loading import require_sliceable
from paceline.engine.pytorch.logits import TorchLogits
from paceline.engine.pytorch.orders import copy_block_order, forward_order
from paceline.engine.pytorch.rank import require_devices
from paceline.engine.pytorch.runner import TorchRunner
from paceline.engine.pytorch.share import LoadShare, Share
from paceline.errors import PacelineError


class SlicedRunner:
    """Has every process compute its slice of each pass; see `paceline.engine.model_runner.ModelRunner`.

    Batches go to the followers through pipes, and the processes meet within the layers, where transformers' plan has
    them add their parts up. All get the same logits; those of our own are handed out. `kv_bytes_per_token` is that of
    all processes together.

    Attributes:
        pids: The followers' processes.
    """

    def __init__(self, ours: TorchRunner, followers: Followers) -> None:
        """Wait until all slices are loaded; raises EngineFailedError."""
        self._ours = ours
        self._followers = followers
        self.pids = followers.pids
        self.num_blocks = min(ours.num_blocks, *followers.num_blocks())
        self.block_size = ours.block_size
        self.kv_bytes_per_token = ours.kv_bytes_per_token * (1 + len(followers.pids))
        self.least_rows = ours.least_rows

    def forward(self, batch: Batch) -> TorchLogits:
        """Run one pass; the logits are [batch.num_logits, vocab_size]. Raises EngineFailedError."""
        self._followers.send(forward_order(batch))
        return self._followers.beside(partial(self._ours.forward, batch))

    def copy_block(self, source: int, destination: int) -> None:
        """Copy the KV of one block over another's, in all layers."""
        self._followers.send(copy_block_order(source, destination))
        self._ours.copy_block(source, destination)

    def on_break(self, tell: Callable[[PacelineError], None]) -> None:
        """See `paceline.engine.model_runner.BreakableRunner`."""
        self._followers.on_end(tell)

    def close(self) -> bool:
        """See `paceline.engine.model_runner.ClosableRunner`."""
        return self._followers.close()


def load_sliced(
    config: EngineConfig, device: torch.device, load_share: LoadShare
) -> tuple[Share, SlicedRunner]:
    """Load the first slice here and the others in followers; returns ours, and what runs all.

    Raises ConfigError where there are fewer devices than slices or the model cannot be dealt out, EngineFailedError
    where a follower ends, and what `load_share` raises.
    """
    num_slices = config.tensor_parallel
    require_devices(device, num_slices)
    require_sliceable(
        config.model_directory, config.weights, num_slices, trust_remote_code=config.trust_remote_code
    )
    followers = Followers(config, device)
    try:
        share = followers.beside(lambda: load_share(config, device, followers.meet()))
        return share, SlicedRunner(share.runner, followers)
    except BaseException:
        followers.close()
        raise
