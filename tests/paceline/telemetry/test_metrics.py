"""What is counted, and how it leaves."""

import time
import urllib.request

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from paceline.errors import ConfigError
from paceline.telemetry import catalogue
from paceline.telemetry.catalogue import CATALOGUE, Kind, MetricInfo
from paceline.telemetry.metrics import MAX_SERIES, OTHER, Histogram, Metrics
from paceline.telemetry.prometheus import serving
from paceline.telemetry.setup import TelemetrySettings, telemetry
from tests.otlp_receiver import otlp_receiver

WAITS = MetricInfo("paceline.test.wait", Kind.HISTOGRAM, "s", "Waits.", ("part",), (0.1, 1.0))
EVENTS = MetricInfo("paceline.test.events", Kind.COUNTER, "{event}", "Events.", ("error.type",))
LEVEL = MetricInfo("paceline.test.level", Kind.GAUGE, "1", "A level.")
NOTHING_YET = MetricInfo("paceline.test.tenants", Kind.GAUGE, "1", "Levels of tenants.", ("tenant",))


def some_metrics() -> Metrics:
    metrics = Metrics()
    waits, events = metrics.histogram(WAITS), metrics.counter(EVENTS)
    for seconds in (0.05, 0.1, 0.5, 3.0):
        waits.labelled("queue").record(seconds)
    events.labelled("LATE").add(3)
    metrics.observe(LEVEL, lambda: 0.25)
    return metrics


@given(st.lists(st.floats(0, 5), max_size=50))
def test_a_histogram_counts_each_value_in_the_first_bucket_whose_bound_it_does_not_exceed(values):
    histogram = Histogram((0.5, 1.0, 4.0))
    for value in values:
        histogram.record(value)
    assert sum(histogram.counts) == len(values)
    for place, bound in enumerate((0.5, 1.0, 4.0)):
        assert sum(histogram.counts[: place + 1]) == sum(value <= bound for value in values)
    assert histogram.sum == pytest.approx(sum(values))


def test_what_comes_after_too_many_series_is_counted_together():
    events = Metrics().counter(EVENTS)
    for number in range(MAX_SERIES + 20):
        events.labelled(f"REASON_{number}").add()
    series = {labels: counter.value for labels, counter in events.series()}
    assert len(series) == MAX_SERIES + 1
    assert series[OTHER,] == 20


def test_prometheus_reads_what_is_served_and_finds_no_fault_with_it():
    with serving(some_metrics(), "127.0.0.1:0") as port:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    waits = {
        (one.name, one.labels.get("le")): one.value for one in families["paceline_test_wait_seconds"].samples
    }
    assert waits["paceline_test_wait_seconds_bucket", "0.1"] == 2
    assert waits["paceline_test_wait_seconds_bucket", "1.0"] == 3
    assert waits["paceline_test_wait_seconds_bucket", "+Inf"] == 4
    assert waits["paceline_test_wait_seconds_sum", None] == pytest.approx(3.65)
    [event] = [one for one in families["paceline_test_events"].samples if one.name.endswith("_total")]
    assert (event.labels, event.value) == ({"error_type": "LATE"}, 3)
    assert families["paceline_test_level"].samples[0].value == 0.25


def test_an_address_that_is_taken_is_an_error_that_names_the_option():
    with (
        serving(Metrics(), "127.0.0.1:0") as port,
        pytest.raises(ConfigError, match=f"--metrics-listen 127.0.0.1:{port}"),
        serving(Metrics(), f"127.0.0.1:{port}"),
    ):
        pass


def until(condition):
    while not condition():  # exporters have threads of their own
        time.sleep(0.01)


def test_otlp_carries_names_units_labels_and_buckets():
    with otlp_receiver() as receiver:
        settings = TelemetrySettings(
            "target_service", "target-0", otlp_endpoint=receiver.endpoint, metrics_interval_seconds=0.05
        )
        with telemetry(settings) as told:
            told.metrics.histogram(WAITS).labelled("queue").record(0.5)
            told.metrics.counter(EVENTS).labelled("LATE").add(3)
            told.metrics.observe(NOTHING_YET, dict[tuple[str, ...], float])
            until(lambda: "paceline.test.events" in receiver.of("paceline-target"))
    found = receiver.of("paceline-target")
    waits = found["paceline.test.wait"]
    assert (waits.unit, waits.kind, waits.description) == ("s", "histogram", "Waits.")
    [(labels, point)] = waits.points
    assert labels == {"part": "queue"}
    assert (list(point.bucket_counts), list(point.explicit_bounds), point.count) == ([0, 1, 0], [0.1, 1.0], 1)
    assert not point.HasField("min"), "it is not known"
    events = found["paceline.test.events"]
    assert (events.unit, events.kind) == ("{event}", "sum")
    [(labels, point)] = events.points
    assert (labels, point.as_int) == ({"error.type": "LATE"}, 3)
    assert "paceline.build_info" in found
    assert NOTHING_YET.name not in found
    assert {one["service.instance.id"] for one in receiver.resources} == {"target-0"}


def test_the_last_values_leave_when_the_process_ends():
    with otlp_receiver() as receiver:
        with telemetry(TelemetrySettings("orchestrator", "o-0", otlp_endpoint=receiver.endpoint)) as told:
            told.metrics.counter(EVENTS).labelled("LATE").add(3)
        assert "paceline.test.events" in receiver.of("paceline-orchestrator")


@pytest.mark.timeout(30)
def test_a_receiver_that_is_not_there_holds_nothing_up():
    with telemetry(TelemetrySettings("orchestrator", "o-0", otlp_endpoint="http://127.0.0.1:1")) as told:
        told.metrics.counter(EVENTS).labelled("LATE").add(3)


def test_the_standard_variables_say_where_to_and_who_we_are(monkeypatch):
    with otlp_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        with telemetry(TelemetrySettings("orchestrator", "o-0")):
            pass
    assert "paceline.build_info" in receiver.of("mine")
    assert receiver.resources[0]["deployment.environment.name"] == "test"


def test_nothing_is_sent_where_the_sdk_is_disabled(monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with telemetry(TelemetrySettings("orchestrator", "o-0", otlp_endpoint="http://127.0.0.1:1")) as told:
        assert not told.tracer.is_on


def test_every_metric_has_a_name_a_unit_and_a_sentence():
    assert len({info.name for info in CATALOGUE}) == len(CATALOGUE)
    assert len({info.prometheus_name for info in CATALOGUE}) == len(CATALOGUE)
    for info in CATALOGUE:
        assert info.description.endswith("."), info.name
        assert info.unit in {"s", "By", "1", ""} or (info.unit.startswith("{") and info.unit.endswith("}")), (
            info.name
        )
        assert bool(info.bounds) == (info.kind is Kind.HISTOGRAM), info.name
        assert not info.known or (info.kind is Kind.COUNTER and len(info.labels) == 1), info.name
        assert list(info.bounds) == sorted(set(info.bounds)), info.name
    assert catalogue.TIME_TO_FIRST_TOKEN.prometheus_name == "gen_ai_server_time_to_first_token_seconds"
