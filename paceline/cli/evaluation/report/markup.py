"""Says things in HTML: every figure bears the path that it has in the evaluation's JSON."""

import re
from typing import Any

from markupsafe import Markup

from paceline.cli.evaluation.report.located import Located
from paceline.cli.evaluation.report.teller import NOT_MEASURED, Teller
from paceline.cli.evaluation.report.units import Unit

_NUMBER = Markup(
    '<data value="{value!r}" data-json="{path}"{divisor} data-scale="{scale!r}" title="{title}">{shown}</data>'
)
_DIVISOR = Markup(' data-over="{path}"')
_NAME = Markup('<span data-json="{path}">{text}</span>')
_MISSING = Markup('<span class="missing" role="img" aria-label="{why}" title="{why}">–</span>')
_INTERVAL = Markup('<span class="interval">{}</span>')
_CODE = Markup("<code>{}</code>")


class MarkupTeller(Teller):
    """As `Teller`, but returns markup.

    A figure is a `data` element: `data-json` is its path, `data-scale` the JSON's number for a shown 1. With
    `data-over` it is the quotient of the figures at two paths.
    """

    def say(self, key: str, **parts: str) -> Markup:
        """Return a text of the wording with its placeholders filled; what it has in backticks is code."""
        text = re.sub(r"`([^`]+)`", lambda match: _CODE.format(match[1]), self._texts[key])
        return Markup(text).format(**parts)  # noqa: S704, the wording is our own; `format` escapes what is filled in

    def number(self, figure: Located[Any], unit: Unit, reason: str = NOT_MEASURED) -> Markup:
        """Return a number that can be traced; a dash that says why where there is none."""
        if figure.raw is None:
            return self.missing(reason)
        divisor = figure.divisor_path
        return _NUMBER.format(
            value=figure.raw,
            path=figure.path,
            divisor=_DIVISOR.format(path=divisor) if divisor else "",
            scale=unit.scale,
            title=f"{figure.path} / {divisor}" if divisor else figure.path,
            shown=unit.show(figure.raw),
        )

    def name(self, text: Located[str]) -> Markup:
        """Return a text of the evaluation that can be traced."""
        return _NAME.format(path=text.path, text=text.raw)

    def interval(self, estimate: Located[Any], unit: Unit) -> Markup:
        """Return an interval that stays on one line."""
        return _INTERVAL.format(super().interval(estimate, unit))

    def missing(self, reason: str) -> Markup:
        """Return a dash that says why there is no figure."""
        return _MISSING.format(why=self.say(reason))
