"""Ids chosen on a device are those that the host chooses."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.engine.work import RowChoice
from paceline.sampling.noise import Noise, Stream, gumbels
from paceline.sampling.parameters import SamplingParameters
from paceline.sampling.selector import selector_for
from tests.paceline.sampling.rows import SHAPES, Rows, rows_of

torch = pytest.importorskip("torch", reason="torch is not installed (`make setup` installs it)")

from torch import Tensor  # noqa: E402

from paceline.engine.pytorch import chooser as chooser_module  # noqa: E402
from paceline.engine.pytorch.chooser import DeviceChooser  # noqa: E402
from tests.paceline.engine.pytorch.devices import DEVICES, Device  # noqa: E402

VOCABULARY_SIZE = 3001  # no multiple of a block's eight tokens
TRUNCATIONS: list[dict[str, Any]] = [
    {},
    {"top_k": 1},
    {"top_k": 40},
    {"top_k": 2000},
    {"top_k": 10**9},
    {"top_p": 1e-12},
    {"top_p": 0.37},
    {"top_p": 0.923},
    {"top_p": 0.9991},
    {"min_p": 0.05},
    {"min_p": 1.0},
    {"top_p": 0.71, "min_p": 0.011},
    {"top_p": 0.9991, "min_p": 0.29},
    {"top_k": 50, "top_p": 0.953},
    {"top_k": 1500, "top_p": 0.953},
    {"top_k": 50, "top_p": 0.953, "min_p": 0.021},
]
TEMPERATURES = [0.0, 5e-324, 1e-6, 0.3, 0.7, 1.0, 1.7, 100.0]

row_choices = st.builds(
    RowChoice,
    position=st.integers(0, 2**40),
    seed=st.integers(0, 2**64 - 1),
    temperature=st.sampled_from(TEMPERATURES) | st.floats(0.01, 5),
    top_k=st.none() | st.integers(1, 60) | st.integers(1, 5000),
    top_p=st.just(1.0) | st.floats(0.01, 0.999) | st.floats(0, 1, exclude_min=True),
    min_p=st.just(0.0) | st.floats(0, 1),
)


@pytest.fixture(scope="module", params=DEVICES)
def device(request: pytest.FixtureRequest) -> Device:
    return request.param


def choose(device: Device, rows: Rows, choices: Sequence[RowChoice]) -> list[int | None]:
    return DeviceChooser(device).choose(torch.from_numpy(rows).to(device), choices)


def chosen_by_the_host(rows: Rows, choices: Sequence[RowChoice]) -> list[int]:
    return [_chosen_by_the_host(row, choice) for row, choice in zip(rows, choices, strict=True)]


def _chosen_by_the_host(row: npt.NDArray[np.float32], choice: RowChoice) -> int:
    parameters = SamplingParameters(choice.temperature, choice.seed, choice.top_k, choice.top_p, choice.min_p)
    return selector_for(parameters)(row[None], np.array([choice.position]), []).item()


def with_masked(rows: Rows, seed: int) -> Rows:
    """Rows of which some tokens, but never all, are impossible."""
    generator = np.random.default_rng(seed)
    masked = np.where(generator.random(rows.shape) < 0.3, -np.inf, rows)
    masked[:, generator.integers(rows.shape[1])] = 0.5
    return masked.astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_ids_are_the_hosts_and_the_host_is_not_needed(device: Device, shape: str) -> None:
    choices = [
        RowChoice(position=100 + number, seed=number, temperature=temperature, **truncation)
        for number, truncation in enumerate(TRUNCATIONS)
        for temperature in TEMPERATURES
    ]
    rows = rows_of(shape, len(choices), VOCABULARY_SIZE)
    assert choose(device, rows, choices) == chosen_by_the_host(rows, choices)


@pytest.mark.parametrize("vocabulary_size", [49_152, 151_936])
def test_ids_of_large_vocabularies_are_the_hosts(device: Device, vocabulary_size: int) -> None:
    choices = [RowChoice(7, seed=3, temperature=0.8, **truncation) for truncation in TRUNCATIONS]
    rows = rows_of("model", len(choices), vocabulary_size)
    assert choose(device, rows, choices) == chosen_by_the_host(rows, choices)


@settings(max_examples=100, deadline=None)
@given(
    vocabulary_size=st.integers(1, 40) | st.integers(1, 4000),
    shape=st.sampled_from(SHAPES),
    is_masked=st.booleans(),
    choices=st.lists(row_choices, min_size=1, max_size=5),
    seed=st.integers(0, 999),
)
def test_no_id_differs_from_the_hosts(
    device: Device,
    vocabulary_size: int,
    shape: str,
    is_masked: bool,
    choices: list[RowChoice],
    seed: int,
) -> None:
    rows = rows_of(shape, len(choices), vocabulary_size, seed)
    rows = with_masked(rows, seed) if is_masked else rows
    found = choose(device, rows, choices)
    expected = chosen_by_the_host(rows, choices)
    assert found == [None if ours is None else theirs for ours, theirs in zip(found, expected, strict=True)]


@settings(max_examples=15, deadline=None)
@given(st.lists(row_choices, min_size=2, max_size=8), st.sampled_from(SHAPES))
def test_a_row_does_not_depend_on_the_others(device: Device, choices: list[RowChoice], shape: str) -> None:
    rows = rows_of(shape, len(choices), VOCABULARY_SIZE)
    alone = [choose(device, row[None], [choice]) for row, choice in zip(rows, choices, strict=True)]
    assert choose(device, rows, choices) == [token_id for [token_id] in alone]


@pytest.mark.parametrize("num_logits_at_once", [1, 2 * VOCABULARY_SIZE])
def test_many_rows_are_looked_at_in_pieces(
    device: Device, monkeypatch: pytest.MonkeyPatch, num_logits_at_once: int
) -> None:
    monkeypatch.setattr(chooser_module, "_NUM_LOGITS_AT_ONCE", num_logits_at_once)
    choices = [RowChoice(7, seed=3, temperature=0.8, **truncation) for truncation in TRUNCATIONS]
    rows = rows_of("tied", len(choices), VOCABULARY_SIZE)
    assert choose(device, rows, choices) == chosen_by_the_host(rows, choices)


@pytest.mark.parametrize("sampled", [[], [RowChoice(1, temperature=1.0, **one) for one in TRUNCATIONS]])
def test_a_pass_is_read_from_the_device_once(
    monkeypatch: pytest.MonkeyPatch, sampled: list[RowChoice]
) -> None:
    shapes: list[tuple[int, ...]] = []

    def tolist(tensor: Tensor) -> list[Any]:
        shapes.append(tuple(tensor.shape))
        return np.ones(tensor.shape, np.int64).tolist()

    # Tensors of this device have no data, so that whatever else is read of them is an error.
    device = Device("meta")
    monkeypatch.setattr(Tensor, "tolist", tolist)
    choices = [RowChoice(0), *sampled]
    chosen = DeviceChooser(device).choose(torch.empty(len(choices), VOCABULARY_SIZE, device=device), choices)
    assert chosen == [1] * len(choices)
    assert shapes == [(3, len(choices)) if sampled else (1,)]


def test_no_rows_choose_no_ids(device: Device) -> None:
    assert choose(device, np.zeros((0, 10), np.float32), []) == []


@pytest.mark.parametrize("beside", [[], [RowChoice(0, temperature=1.0)]])
def test_greedy_takes_the_lowest_id_of_equals(device: Device, beside: list[RowChoice]) -> None:
    rows = np.zeros((4, 50), np.float32)
    rows[0, [7, 9]] = 2.0
    rows[1, 0] = -0.0
    rows[2] = -np.inf
    rows[2, [30, 31]] = -5.0
    found = choose(device, rows[: 3 + len(beside)], [RowChoice(0)] * 3 + beside)
    assert found[:3] == [7, 0, 30]


@pytest.mark.parametrize("top_k", [3, 1200])
def test_of_equal_logits_top_k_keeps_the_lowest_ids(device: Device, top_k: int) -> None:
    rows = np.zeros((40, 5000), np.float32)
    rows[::2, ::2] = -0.0
    choices = [RowChoice(position, temperature=1.0, top_k=top_k) for position in range(len(rows))]
    found = choose(device, rows, choices)
    assert found == chosen_by_the_host(rows, choices)
    assert max(token_id for token_id in found if token_id is not None) < top_k
    if top_k == 3:
        assert set(found) == {0, 1, 2}


def test_a_token_at_the_border_of_a_nucleus_is_the_hosts_to_judge(device: Device) -> None:
    rows = np.zeros((100, 4), np.float32)
    # The sum of the first two is exactly what is wanted, and only just: the third is the one in question.
    choices = [RowChoice(position, temperature=1.0, top_p=0.5) for position in range(len(rows))]
    found, expected = choose(device, rows, choices), chosen_by_the_host(rows, choices)
    assert set(expected) == {0, 1}
    assert set(found) == {0, 1, None}
    assert found == [None if ours is None else theirs for ours, theirs in zip(found, expected, strict=True)]


def test_different_logits_of_one_log_weight_are_the_hosts_to_order(device: Device) -> None:
    rows = np.tile(np.array([1.0, 1e-20, 2e-20, -5.0], np.float32), (20, 1))
    choices = [RowChoice(position, temperature=1.0, top_p=0.7) for position in range(len(rows))]
    assert set(chosen_by_the_host(rows, choices)) == {0, 1}
    assert choose(device, rows, choices) == [None] * len(rows)
    untruncated = [choice._replace(top_p=1.0) for choice in choices]
    assert choose(device, rows, untruncated) == chosen_by_the_host(rows, untruncated)


@dataclass(frozen=True)
class Rivals:
    """Two ids whose noise at a position differs little."""

    stronger: int
    weaker: int
    difference: float


def rivals_at(position: int, vocabulary_size: int) -> Rivals:
    noise = gumbels(Noise(0, Stream.TOKEN).at(position, vocabulary_size).words)
    order = np.argsort(-noise)
    differences = noise[order][:-1] - noise[order][1:]
    at = int(differences.argmin())
    return Rivals(int(order[at]), int(order[at + 1]), float(differences[at]))


@pytest.mark.parametrize("truncation", [{}, {"top_k": 2}])
def test_scores_that_only_rounding_tells_apart_are_the_hosts_to_judge(
    device: Device, truncation: dict[str, Any]
) -> None:
    rivals = rivals_at(5, 1000)
    assert rivals.difference < 0.01, "a float32 logit comes within 1e-9 of it"
    rows = np.full((3, 1000), -np.inf, np.float32)
    rows[:, rivals.weaker] = 0.0
    rows[:, rivals.stronger] = [-rivals.difference, -rivals.difference - 1e-6, -rivals.difference + 1e-6]
    choices = [RowChoice(5, temperature=1.0, **truncation)] * 3
    assert choose(device, rows, choices) == [None, rivals.weaker, rivals.stronger]
    assert chosen_by_the_host(rows[1:], choices[1:]) == [rivals.weaker, rivals.stronger]


@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize("vocabulary_size", [1, VOCABULARY_SIZE])
def test_rows_without_a_finite_highest_logit_are_left_to_the_host(
    device: Device, broken: float, vocabulary_size: int
) -> None:
    choices = [RowChoice(5, temperature=1.0, **truncation) for truncation in TRUNCATIONS for _ in range(3)]
    rows = rows_of("model", len(choices), vocabulary_size)
    rows[1::3, -1] = broken
    rows[2::3] = -np.inf
    found = choose(device, rows, choices)
    assert found[1::3] == found[2::3] == [None] * len(TRUNCATIONS)
    assert found[::3] == chosen_by_the_host(rows[::3], choices[::3])
