"""The curve of a run: acceptance against training tokens, a JSON object a line, added to as it trains."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from paceline.distillation.acceptance import Acceptance


@dataclass(frozen=True)
class CurvePoint:
    """What was measured at one point.

    Attributes:
        num_tokens: Labelled tokens trained on so far, those of all epochs.
        num_text_tokens: Tokens of text that there were to train on and to measure by.
        num_steps: Steps of the optimizer.
        seconds: Spent on training.
        epoch: Number of the epoch.
        loss: Mean loss since the last point; None where nothing was trained.
        acceptance: On held-out answers.
    """

    num_tokens: int
    num_text_tokens: int
    num_steps: int
    seconds: float
    epoch: int
    loss: float | None
    acceptance: Acceptance

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def append_point(path: Path, point: CurvePoint) -> None:
    """Add a line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(point.to_json()) + "\n")
