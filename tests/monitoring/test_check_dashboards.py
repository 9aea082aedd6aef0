"""Asking a Prometheus the queries of dashboards."""

import httpx
import pytest

from tools.check_dashboards import Outcome, PanelQuery, ask


def prometheus(answer: httpx.Response) -> httpx.Client:
    return httpx.Client(base_url="http://prometheus", transport=httpx.MockTransport(lambda _: answer))


def answer_of(*values: str) -> httpx.Response:
    result = [{"metric": {}, "value": [1.0, value]} for value in values]
    return httpx.Response(200, json={"status": "success", "data": {"resultType": "vector", "result": result}})


@pytest.mark.parametrize(
    ("values", "num_series"), [((), 0), (("NaN",), 0), (("0",), 1), (("1.5", "NaN", "+Inf"), 2)]
)
def test_series_without_a_number_are_no_data(values: tuple[str, ...], num_series: int) -> None:
    assert ask(prometheus(answer_of(*values)), "up") == Outcome(num_series)


def test_an_error_of_prometheus_is_told() -> None:
    refusal = httpx.Response(400, json={"status": "error", "errorType": "bad_data", "error": "parse error"})
    assert ask(prometheus(refusal), "sum(") == Outcome(0, "parse error")


def test_no_prometheus_is_told() -> None:
    assert ask(prometheus(httpx.Response(502, text="Bad Gateway")), "up").error.startswith("no answer")


def test_variables_stand_for_all_there_is_and_windows_for_the_one_that_is_asked_for() -> None:
    query = PanelQuery("d", "p", "A", 'rate(m{a=~"$pool"}[$__rate_interval])', {"pool": ".+"})
    assert query.substituted("5m") == 'rate(m{a=~".+"}[5m])'


def test_a_variable_that_the_dashboard_does_not_have_is_a_defect() -> None:
    with pytest.raises(KeyError):
        PanelQuery("d", "p", "A", 'm{a=~"$nobody"}', {}).substituted("5m")
