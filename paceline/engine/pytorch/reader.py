"""One reading of a directory's weights by transformers, which must find exactly those that the model has."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from paceline.engine.errors import UnsupportedModelError
from paceline.engine.pytorch.attention import ATTENTION_NAME
from paceline.engine.pytorch.library_errors import explained, quiet
from paceline.engine.pytorch.placement import Placement

_MOST_NAMES = 3


@dataclass(frozen=True)
class Reader:
    """What all readings have in common.

    Attributes:
        directory: Where the weights are.
        config: Of the model, transformers'.
        dtype: Precision of the weights that are not quantised.
        placement: Where they go.
        may_have_more: The files may hold weights that the model has no place for, such as scales of a KV cache.
    """

    directory: Path
    config: Any
    dtype: torch.dtype
    placement: Placement
    may_have_more: bool

    def read(self, model_class: Any, source: Path | None, **arguments: Any) -> PreTrainedModel:
        """Call `from_pretrained` of a class, and return the model ready to compute.

        Raises UnsupportedModelError where the weights are not the model's, ConfigError where memory is short.
        """
        with explained(self.directory), quiet():
            model, report = model_class.from_pretrained(
                source,
                config=self.config,
                dtype=self.dtype,
                attn_implementation=ATTENTION_NAME,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                **self.placement.arguments,
                **arguments,
            )
            self._require_whole(report)
            if self.placement.moved_to is not None:
                model = model.to(self.placement.moved_to)
            return model.requires_grad_(False).eval()

    def _require_whole(self, report: dict[str, Any]) -> None:
        """Refuse what transformers only warns of: it draws missing weights at random."""
        if missing := report["missing_keys"]:
            raise self._refusal(f"lacks the weights {_listed(missing)}")
        if mismatched := report["mismatched_keys"]:
            name, found, expected = min(mismatched)
            detail = f"{name} is {list(found)}, and {list(expected)} in the model"
            raise self._refusal(f"has weights that do not fit its architecture: {detail}")
        if report["unexpected_keys"] and not self.may_have_more:
            names = _listed(report["unexpected_keys"])
            raise self._refusal(f"has weights that its architecture has no place for: {names}")

    def _refusal(self, detail: str) -> UnsupportedModelError:
        message = f"{self.directory} {detail}. Fetch or prepare the model again."
        return UnsupportedModelError(message, path=str(self.directory))


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _MOST_NAMES} more" if len(ordered) > _MOST_NAMES else ""
    return f"{', '.join(ordered[:_MOST_NAMES])}{more}"
