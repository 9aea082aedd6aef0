"""Pages, dashboards and rules name metrics, labels and sections that exist."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from prometheus_client import CollectorRegistry

from monitoring.__main__ import files
from monitoring.service_dashboard import NOT_OURS
from paceline.serving.status import STATUS_OF_REASON
from paceline.telemetry.catalogue import CATALOGUE, Kind, MetricInfo
from paceline.telemetry.metrics import MAX_SERIES, Metrics
from paceline.telemetry.prometheus import MetricsCollector
from tests.monitoring.promql import Expression, parse
from tools.check_dashboards import queries_of

ROOT = Path(__file__).resolve().parent.parent.parent
METRICS_PAGE = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
ALERTS_PAGE = (ROOT / "docs/alerts.md").read_text(encoding="utf-8")
DASHBOARDS = {
    path.name: json.loads(path.read_text()) for path in sorted((ROOT / "monitoring").rglob("*.json"))
}
RULES = [
    rule
    for path in sorted((ROOT / "monitoring/rules").glob("*.yaml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}

# What Prometheus adds to everything that it scrapes.
SCRAPED_LABELS = {"job", "instance"}


@cache
def exposed() -> dict[str, set[str]]:
    """The series of all metrics as Prometheus sees them, with their labels."""
    metrics = Metrics()
    for info in CATALOGUE:
        labels = ("some",) * len(info.labels)
        if info.kind is Kind.COUNTER:
            metrics.counter(info).labelled(*labels).add()
        elif info.kind is Kind.HISTOGRAM:
            metrics.histogram(info).labelled(*labels).record(1.0)
        else:
            metrics.observe(info, lambda labels=labels: {labels: 1.0})
    registry = CollectorRegistry()
    registry.register(MetricsCollector(metrics))
    series: dict[str, set[str]] = {"up": set()}
    for family in registry.collect():
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    return series


@cache
def recorded() -> set[str]:
    return {rule["record"] for rule in RULES if "record" in rule}


def wrong_names(expression: Expression) -> Iterator[str]:
    """What an expression names that nothing exposes; labels of recorded series are those of what they are made of."""
    series, known = exposed(), set(SCRAPED_LABELS)
    for metric, labels in expression.labels_by_metric.items():
        if metric in recorded():
            known |= {label for rule in RULES if rule.get("record") == metric for label in groupings(rule)}
        elif metric in series:
            known |= series[metric]
            yield from (f"{metric}{{{label}}}" for label in labels - series[metric] - SCRAPED_LABELS)
        else:
            yield metric
    yield from expression.groupings - known


def groupings(rule: Mapping[str, Any]) -> set[str]:
    return parse(rule["expr"]).groupings


def panels() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, dashboard in DASHBOARDS.items():
        yield from ((name, panel) for panel in dashboard["panels"])


def row(info: MetricInfo) -> str:
    """The line of a metric on the page."""
    scraped = {
        Kind.COUNTER: f"`{info.prometheus_name}_total`",
        Kind.GAUGE: f"`{info.prometheus_name}`",
        Kind.HISTOGRAM: f"`{info.prometheus_name}_bucket`, `_sum`, `_count`",
    }[info.kind]
    labels = ", ".join(f"`{label}`" for label in info.labels)
    unit = f"`{info.unit}`" if info.unit else "none"
    cells = (f"`{info.name}`", scraped, unit, labels, info.description)
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def headings(page: str) -> set[str]:
    """Of the second level, as links name them."""
    return {title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", page, re.MULTILINE)}


class TestExpressions:
    def test_names_and_labels_are_found_where_they_are_used(self) -> None:
        expression = parse(
            'sum by (le, a) (rate(m_bucket{b!~"x, y{z}", c="d"}[5m])) / on (e) group_left () (n:o:p5m > 1.5e3)'
            " or vector(0) unless bare offset 5m"
        )
        assert expression.labels_by_metric == {"m_bucket": {"b", "c"}, "n:o:p5m": set(), "bare": set()}
        assert expression.groupings == {"le", "a", "e"}

    @pytest.mark.parametrize(
        "wrong",
        [
            "paceline_failovers",
            'paceline_failovers_total{cause="x"}',
            "sum by (part) (paceline_failovers_total)",
            "paceline:nothing:rate5m",
        ],
    )
    def test_what_nothing_exposes_is_noticed(self, wrong: str) -> None:
        assert list(wrong_names(parse(wrong)))


class TestMetricsPage:
    def test_it_has_the_metrics_of_the_catalogue_in_its_order_and_words(self) -> None:
        rows = [
            line
            for line in METRICS_PAGE.splitlines()
            if re.match(r"\| `[\w.]+` \| `\w+`.* \| (`.+`|none) \|", line)
        ]
        assert rows == [row(info) for info in CATALOGUE]

    def test_it_says_what_the_values_of_each_label_are(self) -> None:
        _, _, table = METRICS_PAGE.partition("\n## Labels\n")
        documented = set(re.findall(r"^\| `([\w.]+)`(?: of `[\w.]+`)? \| \S", table, re.MULTILINE))
        assert documented == {label for info in CATALOGUE for label in info.labels}

    def test_it_names_the_metrics_that_a_label_has_different_values_for(self) -> None:
        _, _, table = METRICS_PAGE.partition("\n## Labels\n")
        for label, metric in re.findall(r"^\| `([\w.]+)` of `([\w.]+)` \|", table, re.MULTILINE):
            assert label in next(info.labels for info in CATALOGUE if info.name == metric)

    def test_it_says_how_many_series_there_may_be(self) -> None:
        assert f"at most {MAX_SERIES} series" in METRICS_PAGE


class TestDashboards:
    def test_they_are_what_python_m_monitoring_writes(self) -> None:
        assert {path.name: path.read_text(encoding="utf-8") for path, _ in files()} == {
            path.name: text for path, text in files()
        }
        assert {path.name for path, _ in files()} == set(DASHBOARDS)

    def test_each_has_its_own_uid_and_title_and_asks_for_a_data_source(self) -> None:
        for key in ("uid", "title"):
            assert len({dashboard[key] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS)
        for dashboard in DASHBOARDS.values():
            first, *_ = dashboard["templating"]["list"]
            assert (first["name"], first["type"], first["query"]) == (
                "datasource",
                "datasource",
                "prometheus",
            )

    def test_panels_have_unique_ids_and_do_not_overlap(self) -> None:
        for dashboard in DASHBOARDS.values():
            ids = [panel["id"] for panel in dashboard["panels"]]
            assert len(set(ids)) == len(ids)
            places = [
                (left, top)
                for panel in dashboard["panels"]
                for at in [panel["gridPos"]]
                for left in range(at["x"], at["x"] + at["w"])
                for top in range(at["y"], at["y"] + at["h"])
            ]
            assert len(set(places)) == len(places)
            assert max(left for left, _ in places) < 24

    def test_every_panel_has_a_title_a_description_a_unit_and_queries(self) -> None:
        for name, panel in panels():
            if panel["type"] != "row":
                assert panel["title"], name
                assert panel["description"].endswith("."), (name, panel["title"])
                assert panel["fieldConfig"]["defaults"]["unit"], (name, panel["title"])
                assert panel["targets"], (name, panel["title"])
                assert panel["datasource"]["uid"] == "${datasource}"

    def test_titles_of_panels_are_unique_because_the_runbook_names_them(self) -> None:
        for dashboard in DASHBOARDS.values():
            titles = [panel["title"] for panel in dashboard["panels"]]
            assert len(set(titles)) == len(titles)

    def test_their_queries_name_what_exists(self) -> None:
        wrong = {
            (query.panel, name)
            for dashboard in DASHBOARDS.values()
            for query in queries_of(dashboard)
            for name in wrong_names(parse(query.substituted("5m")))
        }
        assert wrong == set()

    def test_their_legends_name_labels_that_the_query_keeps(self) -> None:
        for _, panel in panels():
            for target in panel.get("targets", ()):
                expression = parse(target["expr"])
                kept = expression.groupings | SCRAPED_LABELS
                assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept, panel["title"]

    def test_their_variables_name_what_exists(self) -> None:
        for dashboard in DASHBOARDS.values():
            for variable in dashboard["templating"]["list"][1:]:
                found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
                assert found, variable["name"]
                expression, label = parse(found[1]), found[2]
                assert list(wrong_names(expression._replace(groupings={label}))) == []


class TestRules:
    def test_their_expressions_name_what_exists(self) -> None:
        wrong = {
            (rule.get("record") or rule["alert"], name)
            for rule in RULES
            for name in wrong_names(parse(rule["expr"]))
        }
        assert wrong == set()

    def test_every_recorded_series_is_used(self) -> None:
        used = {metric for rule in RULES for metric in parse(rule["expr"]).labels_by_metric}
        assert recorded() <= used

    @pytest.mark.parametrize("name", sorted(ALERTS))
    def test_an_alert_says_how_bad_it_is_for_how_long_and_what(self, name: str) -> None:
        alert = ALERTS[name]
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert alert["for"]
        assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}

    @pytest.mark.parametrize("name", sorted(ALERTS))
    def test_an_alert_has_a_section_of_its_own_that_says_how_bad_it_is(self, name: str) -> None:
        page, _, section = ALERTS[name]["annotations"]["runbook_url"].partition("#")
        assert page == "docs/alerts.md"
        assert section in headings(ALERTS_PAGE)
        severity = ALERTS[name]["labels"]["severity"]
        title = section.replace("-", " ")
        assert re.search(rf"^## {title}\n\n`{name}`, {severity}: ", ALERTS_PAGE, re.MULTILINE | re.IGNORECASE)

    def test_every_section_is_of_an_alert(self) -> None:
        links = [alert["annotations"]["runbook_url"] for alert in ALERTS.values()]
        assert sorted(link.partition("#")[2] for link in links) == sorted(headings(ALERTS_PAGE))

    def test_every_alert_has_a_test_that_it_fires_and_one_that_it_does_not(self) -> None:
        outcomes = {
            (case["alertname"], bool(case.get("exp_alerts")))
            for path in (ROOT / "monitoring/rules/tests").glob("*.yaml")
            for test in yaml.safe_load(path.read_text())["tests"]
            for case in test["alert_rule_test"]
        }
        assert outcomes == {(name, fires) for name in ALERTS for fires in (True, False)}

    def test_requests_that_fail_for_a_reason_of_ours_are_told_from_others_by_their_status(self) -> None:
        assert any(f'error_type!~"{NOT_OURS}"' in rule["expr"] for rule in RULES)
        status = grpc.StatusCode
        ours = {status.INTERNAL, status.RESOURCE_EXHAUSTED, status.UNAVAILABLE}
        # A process that shuts down sends its clients elsewhere; what is too large or too much is its sender's.
        expected = {reason for reason, code in STATUS_OF_REASON.items() if code in ours} - {
            "DRAINING",
            "MESSAGE_TOO_LARGE",
            "QUOTA_EXCEEDED",
        }
        # These are the deployment's, whatever their status.
        expected |= {"POSITION_MISMATCH", "VOCABULARY_MISMATCH"}
        assert {reason for reason in STATUS_OF_REASON if not re.fullmatch(NOT_OURS, reason)} == expected
        assert re.fullmatch(NOT_OURS, "")
        assert re.fullmatch(NOT_OURS, "CANCELLED")


class TestAlertsPage:
    def test_it_names_panels_that_exist(self) -> None:
        titles = {panel["title"] for _, panel in panels()}
        named = set(re.findall(r'"([^"]+)"', re.sub(r"`[^`]*`", "", ALERTS_PAGE)))
        assert named - titles == {dashboard["title"] for dashboard in DASHBOARDS.values()}

    def test_its_queries_name_what_exists(self) -> None:
        queries = [
            code
            for code in re.findall(r"`([^`]+)`", ALERTS_PAGE)
            if re.search(r"paceline_|gen_ai_|\bup\{", code)
        ]
        assert len(queries) > 5
        assert {name for query in queries for name in wrong_names(parse(query))} == set()
