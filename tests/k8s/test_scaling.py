"""What the scalers' questions come to under simulated traffic, by Prometheus' own tool, and how pools follow."""

import math
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.manifests import ROOT

SCALED_OBJECTS = {
    scaled["metadata"]["name"]: scaled["spec"]
    for scaled in yaml.safe_load_all((ROOT / "components/keda/scaled-objects.yaml").read_text())
}
NUM_SCRAPES = 80
# Two replicas of a pool, and what an autoscaler leaves alone: less than a tenth off is near enough.
NUM_REPLICAS = 2
TOLERANCE = 0.1


@dataclass(frozen=True)
class Traffic:
    """What each replica, or for rounds each orchestrator, shows.

    Attributes:
        pool: Of the replicas.
        counters: Growth of a counter from scrape to scrape, by its series without `job` and `instance`.
        gauges: What a gauge stays at.
        answers: What each question must come to, by its name.
        num_wanted: Replicas that the autoscaler then wants.
    """

    pool: str
    answers: Mapping[str, float]
    num_wanted: int
    counters: Mapping[str, float] = field(default_factory=dict[str, float])
    gauges: Mapping[str, float] = field(default_factory=dict[str, float])

    def series(self) -> Iterator[dict[str, str]]:
        """The input of promtool."""
        for instance in range(NUM_REPLICAS):
            for name, growth in self.counters.items():
                yield {"series": labelled(name, self.pool, instance), "values": f"0+{growth}x{NUM_SCRAPES}"}
            for name, value in self.gauges.items():
                yield {"series": labelled(name, self.pool, instance), "values": f"{value}x{NUM_SCRAPES}"}


def labelled(name: str, pool: str, instance: int) -> str:
    metric, _, labels = name.rstrip("}").partition("{")
    is_of_rounds = metric in {"paceline_degraded_rounds_total", "paceline_round_duration_seconds_count"}
    job = "paceline-orchestrator" if is_of_rounds or metric == "paceline_num_sessions" else f"paceline-{pool}"
    return f'{metric}{{{labels}{"," if labels else ""}job="{job}",instance="{instance}"}}'


def passes(*, wait: float, num_rounds: float = 30.0) -> dict[str, float]:
    """Passes of a tenth of a second, and rounds that wait for so many of them."""
    return {
        "paceline_forward_pass_duration_seconds_sum": 12.0,
        "paceline_forward_pass_duration_seconds_count": 120.0,
        "paceline_queue_duration_seconds_sum": num_rounds * wait / 10,
        "paceline_queue_duration_seconds_count": num_rounds,
    }


def state(*, works: float, kv: float = 0.0) -> dict[str, float]:
    """Works at a replica, one of them waiting, and how full its KV cache is."""
    return {
        "paceline_num_requests_running": works - min(works, 1.0),
        "paceline_num_requests_waiting": min(works, 1.0),
        "paceline_kv_cache_usage_perc": kv,
        "paceline_num_sessions": works,
    }


def preempted(per_scrape: float) -> dict[str, float]:
    return {'paceline_kv_evicted_sequences_total{kind="preempted"}': per_scrape}


def rounds(*, late_share: float) -> dict[str, float]:
    return {
        'paceline_degraded_rounds_total{reason="DRAFT_LATE"}': 100.0 * late_share,
        "paceline_round_duration_seconds_count": 100.0,
    }


TRAFFIC = {
    "an idle pool goes down to its least": Traffic(
        "target",
        {"queue": 0.0, "kv": 0.0, "works": 0.0},
        num_wanted=2,
        counters=passes(wait=0.0, num_rounds=0.0) | preempted(0.0),
        gauges=state(works=0.0),
    ),
    "targets that are busy and full of idle sessions stay": Traffic(
        "target",
        {"queue": 0.5, "kv": 0.0, "works": 7.0},
        num_wanted=2,
        counters=passes(wait=0.5) | preempted(0.0),
        gauges=state(works=3.5, kv=0.95),
    ),
    "targets that rounds wait for grow": Traffic(
        "target",
        {"queue": 3.0, "kv": 0.0, "works": 14.0},
        num_wanted=4,
        counters=passes(wait=3.0) | preempted(0.0),
        gauges=state(works=7.0, kv=0.5),
    ),
    "targets whose sessions lose their caches grow": Traffic(
        "target",
        {"queue": 0.6, "kv": 0.95, "works": 6.0},
        num_wanted=3,
        counters=passes(wait=0.6) | preempted(1.0),
        gauges=state(works=3.0, kv=0.95),
    ),
    "drafts that are in time stay": Traffic(
        "draft",
        {"queue": 0.5, "late": 0.01, "works": 6.0},
        num_wanted=2,
        counters=passes(wait=0.5) | rounds(late_share=0.01),
        gauges=state(works=3.0),
    ),
    "drafts that are late grow": Traffic(
        "draft",
        {"queue": 1.2, "late": 0.15, "works": 8.0},
        num_wanted=6,
        counters=passes(wait=1.2) | rounds(late_share=0.15),
        gauges=state(works=4.0),
    ),
}


def triggers(pool: str) -> dict[str, dict[str, Any]]:
    return {trigger["name"]: trigger for trigger in SCALED_OBJECTS[f"paceline-{pool}"]["triggers"]}


def in_thousandths(trigger: Mapping[str, Any]) -> str:
    """A question whose answer is a whole number: promtool compares the last bit."""
    return f"round(1000 * ({trigger['metadata']['query']}))"


def promtool(folder: Path, series: list[dict[str, str]], answers: Mapping[str, list[dict[str, Any]]]) -> str:
    """Have promtool compare answers; returns what is wrong, empty where nothing is."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("no promtool on PATH; it comes with Prometheus")
    questions = [
        {"expr": query, "eval_time": "15m", "exp_samples": samples} for query, samples in answers.items()
    ]
    test = {"tests": [{"interval": "15s", "input_series": series, "promql_expr_test": questions}]}
    path = folder / "traffic.yaml"
    path.write_text(yaml.safe_dump(test), encoding="utf-8")
    done = subprocess.run([program, "test", "rules", str(path)], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def wanted(pool: str, answers: Mapping[str, float]) -> int:
    """Replicas as Kubernetes' autoscaler computes them: the most that any question asks for, within the bounds."""
    spec, asked = SCALED_OBJECTS[f"paceline-{pool}"], list[int]()
    for name, trigger in triggers(pool).items():
        threshold = float(trigger["metadata"]["threshold"])
        ratio = answers[name] / threshold
        if trigger["metricType"] == "AverageValue":
            ratio /= NUM_REPLICAS
        is_near = abs(ratio - 1) <= TOLERANCE
        asked.append(NUM_REPLICAS if is_near else math.ceil(NUM_REPLICAS * ratio - 1e-9))
    return min(max(*asked, spec["minReplicaCount"]), spec["maxReplicaCount"])


@pytest.mark.parametrize("name", TRAFFIC)
def test_traffic_makes_a_pool_as_large_as_it_needs(name: str, tmp_path: Path) -> None:
    traffic = TRAFFIC[name]
    assert wanted(traffic.pool, traffic.answers) == traffic.num_wanted
    expected = {
        in_thousandths(trigger): [{"labels": "{}", "value": round(1000 * traffic.answers[question])}]
        for question, trigger in triggers(traffic.pool).items()
    }
    assert promtool(tmp_path, list(traffic.series()), expected) == ""


@pytest.mark.parametrize("pool", ["target", "draft"])
def test_where_prometheus_has_lost_the_pods_there_is_no_answer_rather_than_a_zero(
    pool: str, tmp_path: Path
) -> None:
    expected: dict[str, list[dict[str, Any]]] = {
        in_thousandths(trigger): [] for trigger in triggers(pool).values()
    }
    elsewhere = [{"series": 'up{job="other"}', "values": f"1x{NUM_SCRAPES}"}]
    assert promtool(tmp_path, elsewhere, expected) == ""
