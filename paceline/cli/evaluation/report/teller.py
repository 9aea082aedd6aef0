"""Says things in one language, as plain text."""

from collections.abc import Callable, Sequence
from typing import Any

from paceline.cli.evaluation.findings import Estimate, Speed
from paceline.cli.evaluation.report.language import Language, wording
from paceline.cli.evaluation.report.located import Located
from paceline.cli.evaluation.report.units import COUNT, Unit, size_unit, to_figures

NOT_MEASURED = "reasons.not-measured"
_DASH = "-"  # of ASCII, whose width every terminal agrees on


class Teller:
    """Puts figures into words; the last four methods are all that markup does otherwise."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._texts = wording(language)

    def measure(self, figure: Located[Any], unit: Unit, reason: str = NOT_MEASURED) -> str:
        """Return a number with its unit; a dash, and why, where there is none."""
        if figure.raw is None:
            return self.missing(reason)
        return self.say(f"units.{unit.symbol}", number=self.number(figure, unit))

    def size(self, figure: Located[Any], reason: str = NOT_MEASURED) -> str:
        """Return a number of bytes in the unit that suits it."""
        return self.measure(figure, size_unit(figure.raw or 0), reason)

    def figures(self, figure: Located[Any], unit: Unit, reason: str = NOT_MEASURED) -> str:
        """Return a bare number with three significant figures."""
        return self.number(figure, to_figures(unit, figure.raw or 0), reason)

    def estimate(self, estimate: Located[Estimate | None], unit: Unit, reason: str = NOT_MEASURED) -> str:
        """Return a measured figure with its unit and interval."""
        return self._estimate(estimate, unit, reason, self.measure)

    def bare_estimate(
        self, estimate: Located[Estimate | None], unit: Unit, reason: str = NOT_MEASURED
    ) -> str:
        """Return a measured figure with its interval, for where the heading has the unit."""
        return self._estimate(estimate, unit, reason, self.number)

    def _estimate(
        self,
        estimate: Located[Estimate | None],
        unit: Unit,
        reason: str,
        tell_value: Callable[[Located[Any], Unit], str],
    ) -> str:
        if estimate.raw is None:
            return self.missing(reason)
        value, interval = tell_value(estimate.value, unit), self.interval(estimate, unit)
        return self.say("estimates.interval", value=value, interval=interval)

    def interval(self, estimate: Located[Any], unit: Unit) -> str:
        """Return the confidence interval of an Estimate in brackets."""
        if estimate.raw.count == 1:
            return self.say("estimates.single")
        low, high = self.number(estimate.low, unit), self.number(estimate.high, unit)
        return self.say("estimates.range", low=low, high=high)

    def series(self, parts: Sequence[str]) -> str:
        """Return parts as "a, b and c"."""
        *first, last = parts
        if not first:
            return last
        return self.say("lists.pair", first=self.say("lists.separator").join(first), last=last)

    def word(self, group: str, key: str) -> str:
        """Return what a word of the evaluation is called, itself where it is nobody's but the user's."""
        return self._texts.get(f"{group}.{key}", key)

    def kind(self, kind: str) -> str:
        """Return what a kind of prompts is called."""
        return self.word("kinds", kind)

    def variant(self, speed: Located[Speed]) -> str:
        """Return what a way of generating is called, without its draft."""
        if speed.raw.num_draft_tokens is None:
            return self.word("variants", speed.raw.variant)
        return self.say("variants.fixed", k=self.number(speed.num_draft_tokens, COUNT))

    def say(self, key: str, **parts: str) -> str:
        """Return a text of the wording with its placeholders filled."""
        return self._texts[key].format(**parts)

    def number(self, figure: Located[Any], unit: Unit, reason: str = NOT_MEASURED) -> str:
        """Return a bare number; a dash, and why, where there is none."""
        return self.missing(reason) if figure.raw is None else unit.show(figure.raw)

    def name(self, text: Located[str]) -> str:
        """Return a text of the evaluation as it is."""
        return text.raw

    def missing(self, reason: str) -> str:
        """Return what stands where there is no figure; `reason` is a key of the wording, for who can show it."""
        del reason
        return _DASH
