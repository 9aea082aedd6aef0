"""How long users wait, from when text arrived."""

from collections.abc import Sequence
from statistics import mean

from paceline.cli.benchmark.spread import percentile
from paceline.cli.evaluation.findings import Latency
from paceline.cli.evaluation.measured_trial import Answer


def latency_of(answers: Sequence[Answer]) -> Latency | None:
    """Return what the arrivals of answers come to; None where no text ever followed another."""
    gaps = [gap for answer in answers for gap in answer.gaps]
    if not gaps:
        return None
    requests = [answer.seconds for answer in answers]
    first_tokens = [answer.first_token_seconds for answer in answers]
    return Latency(
        gap_mean=mean(gaps),
        gap_p50=_percentile(gaps, 0.5),
        gap_p95=_percentile(gaps, 0.95),
        gap_p99=_percentile(gaps, 0.99),
        gap_worst=max(gaps),
        request_mean=mean(requests),
        request_p50=_percentile(requests, 0.5),
        request_p95=_percentile(requests, 0.95),
        request_p99=_percentile(requests, 0.99),
        request_worst=max(requests),
        first_token_p50=_percentile(first_tokens, 0.5),
        first_token_worst=max(first_tokens),
    )


def _percentile(values: Sequence[float], share: float) -> float:
    found = percentile(values, share)
    assert found is not None, "there are values"
    return found
