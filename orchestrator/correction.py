"""How forecasts have turned out."""

from collections.abc import Sequence

from orchestrator.draft_length import RoundForecast
from orchestrator.moving_mean import MovingMean
from orchestrator.round_report import RoundReport

_MEMORY_ROUNDS = 64.0
_FARTHEST = 2.5


class Correction:
    """How much longer rounds took than was foretold for them.

    Attributes:
        availability: Share of rounds that got draft tokens among those that waited for some.
    """

    def __init__(self) -> None:
        self._seconds = {
            False: MovingMean(1.0, 8.0, _MEMORY_ROUNDS),
            True: MovingMean(1.0, 8.0, _MEMORY_ROUNDS),
        }
        self.availability = MovingMean(1.0, 8.0, _MEMORY_ROUNDS)

    def note_round(self, report: RoundReport, foretold: RoundForecast) -> None:
        """Take in a round and what was foretold of it.

        One that waited for drafts in vain says how seldom they are there.
        """
        num, was_waited_for = report.num_drafted, report.waited_for_draft
        if report.num_wanted and (num or was_waited_for):
            self.availability.add(float(num > 0))
        if num or not was_waited_for:
            ratio = (report.draft_seconds + report.target_seconds) / foretold.seconds(num)
            self._seconds[num > 0].add(min(max(ratio, 1.0 / _FARTHEST), _FARTHEST))

    def corrected(self, forecast: RoundForecast) -> RoundForecast:
        """Return a forecast with the seconds that rounds would really take."""
        alone, drafted = self._seconds[False].value, self._seconds[True].value
        factors = (alone, *[drafted] * (len(forecast.tokens) - 1))
        return RoundForecast(
            forecast.tokens,
            _scaled(factors, forecast.draft_seconds),
            _scaled(factors, forecast.target_seconds),
            _scaled(factors, forecast.spared_seconds) if forecast.spared_seconds else (),
            _scaled(factors, forecast.miss_seconds) if forecast.miss_seconds else (),
        )


def _scaled(factors: Sequence[float], seconds: Sequence[float]) -> list[float]:
    return [factor * one for factor, one in zip(factors, seconds, strict=True)]
