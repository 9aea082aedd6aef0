"""What a page shows, and what of it can be traced to the evaluation's JSON."""

import ast
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

_VOID = {"meta", "link", "br", "hr", "img", "input"}
_STEP = re.compile(r"""\.?([A-Za-z_]\w*)|\[(\d+|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]""")


@dataclass
class Shown:
    """An element, and all text in it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""
    untraced: str = ""
    children: list["Shown"] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Shown("", {})
        self.all: list[Shown] = []
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self._open.append(self._add(tag, attrs))
        else:
            self._add(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._add(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        # Every element of ours is closed, in order: a page that is not well-formed fails here.
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        is_traced = any("data-json" in one.attributes for one in self._open)
        for one in self._open:
            one.text += data
            one.untraced += "" if is_traced else data

    def _add(self, tag: str, attrs: list[tuple[str, str | None]]) -> Shown:
        shown = Shown(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(shown)
        self.all.append(shown)
        return shown

    def end(self) -> None:
        self.close()
        assert len(self._open) == 1, f"<{self._open[-1].tag}> is not closed"


def elements(html: str) -> list[Shown]:
    """Return the elements of a page in their order."""
    reader = _Reader()
    reader.feed(html)
    reader.end()
    return reader.all


def descendants(shown: Shown) -> list[Shown]:
    """Return all elements in one."""
    return [one for child in shown.children for one in (child, *descendants(child))]


def held_json(shown: Iterable[Shown]) -> Any:
    """Return the JSON that a page holds."""
    (script,) = (one for one in shown if one.tag == "script")
    assert script.attributes == {"type": "application/json", "id": "evaluation"}
    return json.loads(script.text)


def at_path(document: Any, path: str) -> Any:
    """Return what stands at a path such as `speed[3].tokens_per_round['3']`."""
    place, value = 0, document
    while place < len(path):
        step = _STEP.match(path, place)
        assert step is not None, path
        name, key = step.groups()
        value = value[name if name is not None else ast.literal_eval(key)]
        place = step.end()
    return value
