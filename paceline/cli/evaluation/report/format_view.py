"""The quantisation matrix: formats of the target beside formats of each draft."""

from dataclasses import dataclass

from paceline.cli.evaluation.findings import DraftFormat, Evaluation, FormatPair, TargetFormat
from paceline.cli.evaluation.report.located import Located


@dataclass(frozen=True)
class PairCell:
    """One pair; `heat` goes from 0, the slowest of all, to 1, the fastest. `pair` is None where it was not computed."""

    pair: Located[FormatPair] | None
    heat: float


@dataclass(frozen=True)
class PairRow:
    """One format of the target's weights."""

    target_weights: str
    cells: tuple[PairCell, ...]


@dataclass(frozen=True)
class PairMatrix:
    """One draft, in one precision of the KV."""

    draft: str
    kv_precision: str
    draft_weights: tuple[str, ...]
    rows: tuple[PairRow, ...]


@dataclass(frozen=True)
class Formats:
    """All that is known of formats."""

    targets: tuple[Located[TargetFormat], ...]
    drafts: tuple[Located[DraftFormat], ...]
    matrices: tuple[PairMatrix, ...]


def formats_of(evaluation: Located[Evaluation]) -> Formats:
    """Return the formats, and their pairs as matrices."""
    pairs: list[Located[FormatPair]] = list(evaluation.format_pairs)
    keys = dict.fromkeys((pair.raw.draft, pair.raw.kv_precision) for pair in pairs)
    matrices = tuple(_matrix(draft, precision, pairs) for draft, precision in keys)
    return Formats(tuple(evaluation.target_formats), tuple(evaluation.draft_formats), matrices)


def _matrix(draft: str, kv_precision: str, pairs: list[Located[FormatPair]]) -> PairMatrix:
    speeds = [pair.raw.relative_speed for pair in pairs]
    slowest, fastest = min(speeds), max(speeds)
    own = {
        (pair.raw.target_weights, pair.raw.draft_weights): pair
        for pair in pairs
        if (pair.raw.draft, pair.raw.kv_precision) == (draft, kv_precision)
    }
    columns = tuple(dict.fromkeys(draft_weights for _, draft_weights in own))

    def cell(target_weights: str, draft_weights: str) -> PairCell:
        pair = own.get((target_weights, draft_weights))
        if pair is None or fastest == slowest:
            return PairCell(pair, 0.0)
        return PairCell(pair, (pair.raw.relative_speed - slowest) / (fastest - slowest))

    rows = tuple(
        PairRow(target_weights, tuple(cell(target_weights, column) for column in columns))
        for target_weights in dict.fromkeys(target_weights for target_weights, _ in own)
    )
    return PairMatrix(draft, kv_precision, columns, rows)
