"""Stands in for the compiled model: a pass lasts as long as it is told to, and every id follows from the one before."""

import math
import time

import numpy as np

from benchmarks.simulation.chain_model import ChainModel
from benchmarks.simulation.step_time import StepTime
from paceline.engine.batch import Batch
from paceline.engine.work import Logits
from tests.orchestrator.byte_tokenizer import VOCABULARY_SIZE

BLOCK_SIZE = 32
IMPOSSIBLE = -100.0  # the logit of all other ids


class TimedRunner:
    """Has the shape of `paceline.engine.runner.Runner`, so that scheduler, batching and block table are the real ones.

    `dilation` is how many real seconds a second of the model takes.
    """

    def __init__(
        self, model: ChainModel, step_time: StepTime, num_blocks: int, dilation: float = 1.0
    ) -> None:
        self.least_rows = 1
        self.num_blocks = num_blocks
        self.block_size = BLOCK_SIZE
        self.kv_bytes_per_token = 1
        self._model = model
        self._step_time = step_time
        self._dilation = dilation
        surest = min(max(model.acceptance, 0.51), 0.999)
        self._second_logit = math.log((1 - surest) * max(model.second_chance, 0.001) / surest)

    def forward(self, batch: Batch) -> Logits:
        """Sleep through the pass and return logits [batch.num_logits, vocab_size].

        The chosen id and the second one get the probabilities that they have in the long run.
        """
        ends_at = time.monotonic() + self._step_time.milliseconds(batch.num_rows) / 1000 * self._dilation
        rows = batch.inputs["logit_rows"][: batch.num_logits].astype(np.int64)
        ids, positions = (batch.inputs[name][rows].astype(np.int64) for name in ("input_ids", "position_ids"))
        logits = np.full((batch.num_logits, VOCABULARY_SIZE), IMPOSSIBLE, np.float32)
        each = np.arange(batch.num_logits)
        logits[each, self._model.second_ids(ids, positions)] = self._second_logit
        logits[each, self._model.next_ids(ids, positions)] = 0
        time.sleep(max(0.0, ends_at - time.monotonic()))
        return logits

    def copy_block(self, source: int, destination: int) -> None:
        """Do nothing: there is no KV."""
