"""Logits that lie on the device until somebody looks at them."""

from collections.abc import Sequence

from torch import Tensor

from paceline.engine.pytorch.chooser import DeviceChooser
from paceline.engine.work import Logits, RowChoice


class TorchLogits:
    """Logits of one pass; see `paceline.engine.model_runner.DeviceLogits`."""

    def __init__(self, rows: Tensor, chooser: DeviceChooser | None) -> None:
        """Take f32 logits [num_logits, vocab_size]; without a chooser all ids are left to the host."""
        self._rows = rows
        self._chooser = chooser

    def __getitem__(self, rows: slice, /) -> Logits:
        """Copy some rows to the host."""
        return self._rows[rows].cpu().numpy()

    def choose_ids(self, choices: Sequence[RowChoice | None]) -> list[int | None]:
        """Choose the ids of all rows that say how, at once."""
        wanted = [(row, choice) for row, choice in enumerate(choices) if choice is not None]
        chosen: list[int | None] = [None] * len(choices)
        if not wanted or self._chooser is None:
            return chosen
        rows = [row for row, _ in wanted]
        logits = self._rows if len(rows) == len(self._rows) else self._rows[rows]
        for row, token_id in zip(rows, self._chooser.choose(logits, [one for _, one in wanted]), strict=True):
            chosen[row] = token_id
        return chosen
