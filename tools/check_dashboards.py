"""Asks a Prometheus every query of the dashboards, and says which of them it has data for.

python tools/check_dashboards.py http://127.0.0.1:9090
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx

DASHBOARDS = Path(__file__).resolve().parent.parent / "monitoring" / "dashboards"

# As Grafana has them in its variables, for the windows that it would choose itself.
_WINDOWS = ("__rate_interval", "__interval", "__range")
_TIMEOUT_SECONDS = 30.0


class PanelQuery(NamedTuple):
    """One query of one panel.

    Attributes:
        dashboard: Title.
        panel: Title.
        ref_id: Of the query in its panel.
        expression: PromQL with Grafana's variables.
        variables: Values for them, by name: all that there are to choose from.
    """

    dashboard: str
    panel: str
    ref_id: str
    expression: str
    variables: Mapping[str, str]

    def substituted(self, window: str) -> str:
        """Return what Prometheus is asked; raises KeyError for a variable that the dashboard does not have."""
        values = {**self.variables, **dict.fromkeys(_WINDOWS, window)}
        return re.sub(r"\$\{?(\w+)\}?", lambda match: values[match[1]], self.expression)


class Outcome(NamedTuple):
    """What came of a query.

    Attributes:
        num_series: Series that have a number; NaN is none.
        error: Why there is no answer; empty where there is one.
    """

    num_series: int
    error: str = ""

    def __str__(self) -> str:
        return self.error or f"{self.num_series} series"


def main() -> None:
    """Print a line a query; exit with 1 if one has no data."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("prometheus", nargs="?", default="http://127.0.0.1:9090", help="URL")
    parser.add_argument(
        "dashboards", nargs="*", type=Path, help="JSON files; all of monitoring/dashboards if none"
    )
    parser.add_argument("--window", default="5m", help="how far rates look back")
    options = parser.parse_args()
    paths: Sequence[Path] = options.dashboards or sorted(DASHBOARDS.glob("*.json"))
    queries = [query for path in paths for query in queries_of(json.loads(path.read_text(encoding="utf-8")))]
    with httpx.Client(base_url=options.prometheus, timeout=_TIMEOUT_SECONDS) as prometheus:
        outcomes = [ask(prometheus, query.substituted(options.window)) for query in queries]
    for query, outcome in zip(queries, outcomes, strict=True):
        mark = "ok  " if outcome.num_series else "NONE"
        print(f"{mark}  {outcome!s:>10}  {query.dashboard} / {query.panel} / {query.ref_id}")
    num_without = sum(not outcome.num_series for outcome in outcomes)
    print(f"{len(queries) - num_without} of {len(queries)} queries return data")
    sys.exit(1 if num_without or not queries else 0)


def queries_of(dashboard: Mapping[str, Any]) -> Iterator[PanelQuery]:
    """Yield the queries of a dashboard, from top to bottom."""
    variables = {
        one["name"]: one["allValue"] for one in dashboard["templating"]["list"] if one["type"] == "query"
    }
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield PanelQuery(dashboard["title"], panel["title"], target["refId"], target["expr"], variables)


def ask(prometheus: httpx.Client, expression: str) -> Outcome:
    """Ask for the value of an expression now."""
    try:
        answer = prometheus.post("/api/v1/query", data={"query": expression}).json()
    except (httpx.HTTPError, ValueError) as error:
        return Outcome(0, f"no answer: {error}")
    if answer["status"] != "success":
        return Outcome(0, answer["error"])
    values = [float(series["value"][1]) for series in answer["data"]["result"]]
    return Outcome(sum(not math.isnan(value) for value in values))


if __name__ == "__main__":
    main()
