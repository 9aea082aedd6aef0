"""How many draft tokens the target would accept, on text that nobody was trained on."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from paceline.distillation.batch import batches_in_order
from paceline.distillation.document import Document
from paceline.distillation.student import Student

# Rows of logits, and texts, at once.
_CHUNK = 256
_NUM_TEXTS = 8
_TINY = 1e-9


@dataclass(frozen=True)
class Acceptance:
    """What was found on held-out answers; a share is None where there are no such positions.

    Attributes:
        num_greedy: Positions of greedy answers.
        greedy: Share of them where the student chooses the token that the target wrote.
        num_sampled: Positions of sampled answers.
        shared: Mean expected acceptance there at temperature 1, with shared noise.
    """

    num_greedy: int
    greedy: float | None
    num_sampled: int
    shared: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def measure_acceptance(
    student: Student, documents: Sequence[Document], row_size: int, max_positions: int
) -> Acceptance:
    """Read the first answers, up to about `max_positions` of each sort, and compare at every position."""
    answers = [one for one in documents if not one.is_question]
    greedy = first_documents([one for one in answers if one.temperature == 0], max_positions)
    sampled = first_documents([one for one in answers if one.temperature > 0], max_positions)
    agrees = [read.logits.argmax(dim=1) == read.next_ids for read in _read(student, greedy, row_size)]
    shared = [_shared(read) for read in _read(student, sampled, row_size)]
    return Acceptance(sum(map(len, agrees)), _mean(agrees), sum(map(len, shared)), _mean(shared))


def expected_shared(target_probs: Tensor, draft_probs: Tensor) -> Tensor:
    """Return how probably the same noise gives both models the same token [num_rows].

    Both are the probabilities of the target's likeliest tokens [num_rows, num_labels]. It is
    `paceline.sampling.acceptance.expected_acceptance_shared` with all others as one token that is never accepted.
    """
    target, draft = _with_rest(target_probs), _with_rest(draft_probs)
    ratios = torch.maximum(target[:, None] / target[:, :-1, None], draft[:, None] / draft[:, :-1, None])
    return (1 / ratios.sum(2)).sum(1)


def first_documents(documents: Sequence[Document], max_positions: int) -> list[Document]:
    """Return the first documents, until they have so many written tokens."""
    chosen: list[Document] = []
    num_positions = 0
    for document in documents:
        if num_positions >= max_positions:
            break
        chosen.append(document)
        num_positions += document.num_written
    return chosen


class _Read(NamedTuple):
    """Some positions that the student has read."""

    logits: Tensor  # [num_rows, vocabulary_size]
    next_ids: Tensor  # [num_rows]
    label_ids: Tensor  # [num_rows, num_labels]
    label_logprobs: Tensor  # [num_rows, num_labels]


@torch.no_grad()
def _read(student: Student, documents: Sequence[Document], row_size: int) -> Iterator[_Read]:
    for batch in batches_in_order(documents, row_size, _NUM_TEXTS):
        token_ids, positions, segments, places, *labels = map(torch.from_numpy, batch)
        hidden = student(token_ids, positions, segments).flatten(0, 1)[places]
        for start in range(0, len(places), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            yield _Read(hidden[chunk] @ student.embedding.T, *(one[chunk] for one in labels))


def _shared(read: _Read) -> Tensor:
    draft_probs = torch.softmax(read.logits, dim=1).gather(1, read.label_ids)
    return expected_shared(read.label_logprobs.exp(), draft_probs)


def _with_rest(probs: Tensor) -> Tensor:
    rest = (1 - probs.sum(1, keepdim=True)).clamp_min(0)
    return torch.cat([probs.clamp_min(_TINY), rest], dim=1)


def _mean(parts: Sequence[Tensor]) -> float | None:
    return float(torch.cat(list(parts)).to(torch.float64).mean()) if parts else None
