import pytest

from benchmarks.simulation.settings import SWEPT, Settings
from benchmarks.simulation.sweep import sweep_points
from paceline.errors import ConfigError

BASE = Settings()


def test_without_a_sweep_there_is_the_base_alone():
    assert [(point.values, point.settings) for point in sweep_points(BASE, [])] == [({}, BASE)]


def test_sweeps_are_combined():
    points = sweep_points(BASE, ["rtt=0,15", "num-draft-tokens=3,adaptive,off"])
    seen = [(point.settings.rtt_ms, point.settings.num_draft_tokens) for point in points]
    assert seen == [(0, 3), (0, "adaptive"), (0, "off"), (15, 3), (15, "adaptive"), (15, "off")]
    assert points[4].values == {"rtt": "15", "num-draft-tokens": "adaptive"}


@pytest.mark.parametrize("name", SWEPT)
def test_every_swept_name_sets_its_own_field_only(name):
    value = "0.5" if name in {"acceptance", "second-chance"} else "7"
    (point,) = sweep_points(BASE, [f"{name}={value}"])
    changed = {field for field in SWEPT.values() if getattr(point.settings, field) != getattr(BASE, field)}
    assert changed <= {SWEPT[name]}
    assert getattr(point.settings, SWEPT[name]) == float(value)


@pytest.mark.parametrize(
    "text", ["rtt", "rtt=", "=3", "rtt=1,,2", "colour=red", "targets=many", "targets=1.5", "targets=0"]
)
def test_what_cannot_be_swept_is_refused(text):
    with pytest.raises(ConfigError):
        sweep_points(BASE, [text])
