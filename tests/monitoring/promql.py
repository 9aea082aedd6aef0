"""Which series an expression selects, and by which labels it puts them together."""

import re
from typing import NamedTuple

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTED = re.compile(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}")
_WINDOW = re.compile(r"\[[^\]]*\]")
_NAME = re.compile(r"(?<![\w:.])[a-zA-Z_:][\w:]*\b(?!\s*\()")
_KEYWORDS = {"and", "bool", "offset", "or", "unless"}


class Expression(NamedTuple):
    """What of an expression has to exist.

    Attributes:
        labels_by_metric: What is selected, and by which labels.
        groupings: Labels that results are put together by.
    """

    labels_by_metric: dict[str, set[str]]
    groupings: set[str]


def parse(text: str) -> Expression:
    """Take an expression apart.

    Example: `sum by (a) (rate(m_total{b="c"}[5m]))` selects `m_total` by `b`, and groups by `a`.
    """
    text = _STRING.sub('""', text)
    groupings = {label for match in _GROUPING.finditer(text) for label in _listed(match[2])}
    text = _WINDOW.sub("", _GROUPING.sub("", text))
    labels_by_metric: dict[str, set[str]] = {}
    for metric, matchers in _SELECTED.findall(text):
        labels = {re.split(r"[=!]", matcher)[0].strip() for matcher in _listed(matchers)}
        labels_by_metric.setdefault(metric, set()).update(labels)
    for metric in _NAME.findall(_SELECTED.sub("", text)):
        if metric not in _KEYWORDS:
            labels_by_metric.setdefault(metric, set())
    return Expression(labels_by_metric, groupings)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
