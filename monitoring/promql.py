"""Queries that are made again and again.

They look back over one of Grafana's windows: RECENT is wide enough for the scrape interval, SHOWN all that is shown.
"""

from collections.abc import Iterator

from monitoring.grafana import Query

RECENT = "$__rate_interval"
SHOWN = "$__range"


def rate(metric: str, selector: str, by: str = "", over: str = RECENT) -> str:
    """Return the growth a second of what is selected, by a label or in all.

    Example: `rate("a_total", 'b="c"', "d")` is `sum by (d) (rate(a_total{b="c"}[$__rate_interval]))`.
    """
    grouping = f"sum by ({by})" if by else "sum"
    return f"{grouping} (rate({metric}{{{selector}}}[{over}]))"


def rate_or_zero(metric: str, selector: str, over: str = RECENT) -> str:
    """Return the same in all, 0 where no series is selected: labels come with their first event."""
    return f"({rate(metric, selector, over=over)} or vector(0))"


def share(part: str, whole: str, selector: str, by: str = "", over: str = RECENT) -> str:
    """Return how much of the growth of one counter another one is."""
    return f"{rate(part, selector, by, over)} / {rate(whole, selector, by, over)}"


def mean(histogram: str, selector: str, by: str = "") -> str:
    """Return the mean of what a histogram has recorded."""
    return share(f"{histogram}_sum", f"{histogram}_count", selector, by)


def quantile(histogram: str, selector: str, of_all: float, by: str = "") -> str:
    """Return a quantile of what a histogram has recorded, 0.95 for the value that 95% do not exceed."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({of_all:g}, {rate(f'{histogram}_bucket', selector, labels)})"


def quantiles(histogram: str, selector: str, by: str = "") -> tuple[Query, ...]:
    """Return the median, 95% and 99% of a histogram."""
    return tuple(_quantiles(histogram, selector, by))


def by_label(metric: str, selector: str, label: str) -> Query:
    """Return the growth a second of a counter by a label that it always has."""
    return Query(rate(metric, selector, label), f"{{{{{label}}}}}")


def troubles(metric: str, selector: str, label: str) -> Query:
    """Return the growth a second of a counter that has no series before the first trouble."""
    return Query(or_none(rate(metric, selector, label), label), f"{{{{{label}}}}}")


def or_none(expression: str, label: str) -> str:
    """Return 0 with the label "none" where an expression gives nothing at all."""
    return f'{expression} or on () label_replace(vector(0), "{label}", "none", "", "")'


def _quantiles(histogram: str, selector: str, by: str) -> Iterator[Query]:
    for of_all in (0.5, 0.95, 0.99):
        name = f"p{round(100 * of_all)}"
        legend = f"{{{{{by}}}}} {name}" if by else name
        yield Query(quantile(histogram, selector, of_all, by), legend)
