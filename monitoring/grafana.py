"""Grafana's dashboards as plain data, and the JSON that Grafana imports (its classic model, schema 42)."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import count
from typing import Any, NamedTuple

SCHEMA_VERSION = 42
TAG = "paceline"

_GRID_WIDTH = 24
_ROW_HEIGHT = 1
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Look(StrEnum):
    """How a panel shows its queries."""

    LINES = "lines"
    STACKED = "stacked"
    NUMBER = "number"
    HEATMAP = "heatmap"


class Color(StrEnum):
    """What a value means, in Grafana's words."""

    GOOD = "green"
    DOUBTFUL = "yellow"
    BAD = "red"


class Threshold(NamedTuple):
    """From `value` on, a panel has the color."""

    value: float
    color: Color


class Query(NamedTuple):
    """A query in PromQL, and what its series are called: Grafana puts labels into `{{label}}`."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """One panel.

    Attributes:
        title: What it shows, in a few words.
        description: How to read it, one or two sentences.
        unit: Grafana's name of a unit: "s", "percentunit" for 0 to 1, "suffix: x" for one of our own.
        queries: What it shows.
        look: How.
        first_color: Of the values below all thresholds.
        thresholds: Ascending.
        maximum: The highest value that there can be; None where there is no such.
        width: In 24ths of the page.
    """

    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    look: Look = Look.LINES
    first_color: Color = Color.GOOD
    thresholds: Sequence[Threshold] = ()
    maximum: float | None = None
    width: int = 8

    @property
    def height(self) -> int:
        """In Grafana's units of 30 pixels."""
        return 4 if self.look is Look.NUMBER else 8


class Row(NamedTuple):
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


class Variable(NamedTuple):
    """What the reader chooses at the top of the page: some of the values of a label, or all of them."""

    name: str
    label: str
    query: str


class Dashboard(NamedTuple):
    """One page.

    Attributes:
        uid: By which Grafana knows it again; also the name of its file.
        title: Of the page.
        description: What it answers.
        variables: Besides the data source.
        rows: From top to bottom.
    """

    uid: str
    title: str
    description: str
    variables: Sequence[Variable]
    rows: Sequence[Row]


def number(
    title: str,
    description: str,
    unit: str,
    expression: str,
    first_color: Color = Color.GOOD,
    thresholds: Sequence[Threshold] = (),
) -> Panel:
    """Return a panel of one large number, a sixth of the page wide."""
    queries = (Query(expression, title),)
    return Panel(title, description, unit, queries, Look.NUMBER, first_color, thresholds, width=4)


def json_of(dashboard: Dashboard) -> dict[str, Any]:
    """Return what Grafana imports."""
    links = {
        "title": "Paceline",
        "type": "dashboards",
        "tags": [TAG],
        "asDropdown": True,
        "includeVars": False,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "id": None,
        "editable": True,
        "graphTooltip": 1,  # the cursor is shown in all panels
        "fiscalYearStartMonth": 0,
        "timezone": "browser",
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "refresh": "30s",
        "links": [links],
        "annotations": {"list": []},
        "templating": {"list": [_DATASOURCE_VARIABLE, *map(_variable, dashboard.variables)]},
        "panels": list(_panels(dashboard.rows)),
    }


_DATASOURCE_VARIABLE = {
    "name": "datasource",
    "label": "Data source",
    "type": "datasource",
    "query": "prometheus",
    "regex": "",
    "current": {},
    "options": [],
    "hide": 0,
    "refresh": 1,
    "includeAll": False,
    "multi": False,
}


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "name": variable.name,
        "label": variable.label,
        "type": "query",
        "datasource": _DATASOURCE,
        "definition": variable.query,
        "query": {
            "qryType": 1,
            "query": variable.query,
            "refId": "PrometheusVariableQueryEditor-VariableQuery",
        },
        "regex": "",
        "sort": 1,
        "refresh": 2,  # whenever the time range changes
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
        "options": [],
        "hide": 0,
    }


def _panels(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    ids, top = count(1), 0
    for row in rows:
        yield {
            "id": next(ids),
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": _GRID_WIDTH, "h": _ROW_HEIGHT},
            "panels": [],
        }
        top += _ROW_HEIGHT
        left = height = 0
        for panel in row.panels:
            if left + panel.width > _GRID_WIDTH:
                left, top, height = 0, top + height, 0
            yield _panel(panel, next(ids), left, top)
            left, height = left + panel.width, max(height, panel.height)
        top += height


def _panel(panel: Panel, panel_id: int, left: int, top: int) -> dict[str, Any]:
    visualization = _VISUALIZATIONS[panel.look]
    custom = dict(visualization["custom"])
    options = dict(visualization["options"])
    if panel.thresholds and visualization["type"] == "timeseries":
        custom["thresholdsStyle"] = {"mode": "dashed"}
    if panel.look is Look.HEATMAP:  # the unit of its fields is not that of its axis
        options["yAxis"] = {"axisPlacement": "left", "reverse": False, "unit": panel.unit}
    return {
        "id": panel_id,
        "type": visualization["type"],
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "gridPos": {"x": left, "y": top, "w": panel.width, "h": panel.height},
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                **({"max": panel.maximum} if panel.maximum is not None else {}),
                "color": visualization["color"],
                "thresholds": _thresholds(panel),
                "custom": custom,
            },
            "overrides": [],
        },
        "options": options,
        "targets": [
            _target(panel.look, query, chr(ord("A") + index)) for index, query in enumerate(panel.queries)
        ],
    }


def _thresholds(panel: Panel) -> dict[str, Any]:
    steps = [{"value": None, "color": panel.first_color.value}]
    return {
        "mode": "absolute",
        "steps": [*steps, *({"value": one.value, "color": one.color.value} for one in panel.thresholds)],
    }


def _target(look: Look, query: Query, ref_id: str) -> dict[str, Any]:
    return {
        "refId": ref_id,
        "datasource": _DATASOURCE,
        "expr": query.expression,
        "legendFormat": query.legend,
        "format": "heatmap" if look is Look.HEATMAP else "time_series",
        "instant": look is Look.NUMBER,
        "range": look is not Look.NUMBER,
    }


_LINE_OPTIONS = {
    "legend": {
        "displayMode": "table",
        "placement": "bottom",
        "showLegend": True,
        "calcs": ["mean", "lastNotNull"],
    },
    "tooltip": {"mode": "multi", "sort": "desc"},
}
_BY_SERIES = {"mode": "palette-classic"}

# What Grafana calls each look.
_VISUALIZATIONS: dict[Look, dict[str, Any]] = {
    Look.LINES: {
        "type": "timeseries",
        "color": _BY_SERIES,
        "custom": {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 0, "showPoints": "never"},
        "options": _LINE_OPTIONS,
    },
    Look.STACKED: {
        "type": "timeseries",
        "color": _BY_SERIES,
        "custom": {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 60,
            "showPoints": "never",
            "stacking": {"mode": "normal", "group": "A"},
        },
        "options": _LINE_OPTIONS,
    },
    Look.NUMBER: {
        "type": "stat",
        "color": {"mode": "thresholds"},
        "custom": {},
        "options": {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "auto",
            "wideLayout": True,
        },
    },
    Look.HEATMAP: {
        "type": "heatmap",
        "color": {"mode": "thresholds"},
        "custom": {"hideFrom": {"legend": False, "tooltip": False, "viz": False}},
        "options": {
            "calculate": False,
            "cellValues": {"unit": "short"},
            "cellGap": 1,
            "color": {"mode": "scheme", "scheme": "Blues", "steps": 64, "fill": "dark-blue", "exponent": 0.5},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "tooltip": {"mode": "single", "yHistogram": False, "showColorScale": False},
        },
    },
}
