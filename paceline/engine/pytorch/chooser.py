"""Choosing ids where the logits lie, so that an id a row leaves the device instead of a vocabulary.

What is chosen is what `paceline.sampling` chooses, id for id. Words of noise, log-weights and comparisons are the same
bits everywhere; logarithms, exponentials and the order of sums are not. Where such a difference could decide, which a
model's rows hardly ever give reason to, the host has to choose.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from paceline.engine.pytorch.choice_columns import ChoiceColumns, num_kept
from paceline.engine.pytorch.noise import DeviceNoise, gumbels
from paceline.engine.pytorch.truncation import rank, truncate
from paceline.engine.work import RowChoice
from paceline.sampling.noise import Stream

# So many logits are looked at together, with about fifty bytes each on the way, a hundred where all are sorted.
_NUM_LOGITS_AT_ONCE = 1 << 22
# top_k and top_p seldom keep more tokens.
_NUM_RANKED = 1024
# A score errs by less than 1e-13: the noise is below 23, and a token 26 below the likeliest cannot win.
_ROUNDING = 1e-9


class Verdict(NamedTuple):
    """What came of some rows."""

    token_ids: Tensor  # [num_rows] int64: those with the highest scores
    is_certain: Tensor  # [num_rows] bool: the host would choose the same id of those that were looked at
    is_complete: Tensor  # [num_rows] bool: all that may be chosen were looked at


# Judges some rows by their logits and log-weights [num_rows, vocab_size].
_Judge = Callable[[Tensor, Tensor, ChoiceColumns], Verdict]


class DeviceChooser:
    """Chooses the ids of all rows of a pass at once."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._noise = DeviceNoise(device, Stream.TOKEN)

    def choose(self, logits: Tensor, choices: Sequence[RowChoice]) -> list[int | None]:
        """Return the ids chosen from rows of f32 logits [num_rows, vocab_size]; None where only the host can tell.

        The logits lie on the device, which is waited for once, and once more where a row keeps more tokens than were
        ranked.
        """
        highest_ids = logits.argmax(dim=1)
        sampled = [row for row, choice in enumerate(choices) if choice.temperature > 0.0]
        if not sampled:
            return highest_ids.tolist()
        vocabulary_size = logits.shape[1]
        truncated = [row for row in sampled if _is_truncated(choices[row], vocabulary_size)]
        whole = [row for row in sampled if not _is_truncated(choices[row], vocabulary_size)]

        yes = torch.ones_like(highest_ids)
        verdicts = torch.stack((highest_ids, yes, yes))  # [3, num_rows]: a `Verdict` each
        judge_likeliest = partial(self._judge_likeliest, min(_NUM_RANKED, vocabulary_size))
        self._judge(logits, choices, whole, self._judge_all, verdicts)
        self._judge(logits, choices, truncated, judge_likeliest, verdicts)
        token_ids, is_certain, is_complete = verdicts.tolist()
        unfinished = [row for row, is_known in enumerate(is_complete) if not is_known]
        if unfinished:
            judge_sorted = partial(self._judge_likeliest, vocabulary_size)
            self._judge(logits, choices, unfinished, judge_sorted, verdicts)
            token_ids, is_certain, _ = verdicts.tolist()
        chosen = zip(token_ids, is_certain, strict=True)
        return [token_id if is_known else None for token_id, is_known in chosen]

    def _judge(
        self,
        logits: Tensor,
        choices: Sequence[RowChoice],
        rows: Sequence[int],
        judge: _Judge,
        verdicts: Tensor,
    ) -> None:
        """Write what comes of some rows into `verdicts` [3, num_rows]."""
        if not rows:
            return
        vocabulary_size = logits.shape[1]
        num_rows_at_once = max(1, _NUM_LOGITS_AT_ONCE // vocabulary_size)
        all_columns = ChoiceColumns.of(choices, rows, vocabulary_size, self._device)
        for columns in all_columns.split(num_rows_at_once):
            own = logits[columns.rows]
            references = own.amax(dim=1, keepdim=True)
            log_weights = own.to(torch.float64).sub_(references).div_(columns.temperatures)
            verdict = judge(own, log_weights, columns)
            is_certain = verdict.is_certain & references.squeeze(1).isfinite()
            verdicts[:, columns.rows] = torch.stack((verdict.token_ids, is_certain, verdict.is_complete))

    def _judge_all(self, _: Tensor, log_weights: Tensor, columns: ChoiceColumns) -> Verdict:
        """Judge rows of which nothing is left out but by min_p."""
        noise = self._noise.at(columns.seeds, columns.positions, log_weights.shape[1])
        scores = gumbels(noise.words()).add_(log_weights)
        highest = _highest(scores, log_weights >= columns.least_log_weights)
        return Verdict(highest.places, highest.is_alone, torch.ones_like(highest.is_alone))

    def _judge_likeliest(
        self, num_ranked: int, logits: Tensor, log_weights: Tensor, columns: ChoiceColumns
    ) -> Verdict:
        """Judge rows by so many of their likeliest tokens."""
        ranked = rank(logits, log_weights, num_ranked)
        kept = truncate(ranked, columns)
        noise = self._noise.at(columns.seeds, columns.positions, log_weights.shape[1])
        scores = gumbels(noise.words_of(ranked.token_ids)).add_(ranked.log_weights)
        highest = _highest(scores, kept.perhaps)
        places = highest.places[:, None]
        is_certain = highest.is_alone & kept.surely.gather(1, places).squeeze(1)
        return Verdict(ranked.token_ids.gather(1, places).squeeze(1), is_certain, kept.is_complete)


class _Highest(NamedTuple):
    places: Tensor  # [num_rows] int64: the column of the highest score
    is_alone: Tensor  # [num_rows] bool: no other score is as high but for rounding


def _highest(scores: Tensor, may_win: Tensor) -> _Highest:
    """Return the highest of those scores [num_rows, num_scores] that may win, which are overwritten."""
    scores.masked_fill_(~may_win, -torch.inf)
    highest, places = scores.max(dim=1, keepdim=True)
    is_alone = (scores >= highest - _ROUNDING).sum(dim=1) == 1
    return _Highest(places.squeeze(1), is_alone)


def _is_truncated(choice: RowChoice, vocabulary_size: int) -> bool:
    """Return whether what is kept depends on the order of the tokens; min_p alone is a comparison."""
    return choice.top_p < 1.0 or num_kept(choice, vocabulary_size) < vocabulary_size
