"""A model of transformers over rows whose keys and values lie in our cache."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from paceline.engine.pytorch.attention import PagedAttention
from paceline.engine.pytorch.layout import PassRows


class PagedModel:
    """Computes rows in whatever attention it is given."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model

    def run(self, rows: PassRows, attention: PagedAttention) -> None:
        """Compute rows of which none wants logits: the KV that they leave."""
        self._model.base_model(**_inputs(rows, attention))

    def logits(self, rows: PassRows, attention: PagedAttention, wanted: Tensor) -> Tensor:
        """Compute rows, and the logits of some in the precision of the computation [len(wanted), vocab_size]."""
        return self._model(**_inputs(rows, attention), logits_to_keep=wanted).logits[0]

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the computation."""
        return self._model.dtype

    def scaling(self, head_size: int) -> float:
        """What its attention multiplies scores by; by default one over the square root of the head's size."""
        for module in self._model.modules():
            scaling = getattr(module, "scaling", None)
            if isinstance(scaling, float) and isinstance(getattr(module, "layer_idx", None), int):
                return scaling
        return head_size**-0.5


def _inputs(rows: PassRows, attention: PagedAttention) -> dict[str, object]:
    return {
        "input_ids": rows.token_ids.unsqueeze(0),
        "position_ids": rows.positions.unsqueeze(0),
        "use_cache": False,
        "paged": attention,
    }
