"""How large a student is."""

from dataclasses import replace
from pathlib import Path

import pytest

from paceline.distillation.shape import (
    SIZE_RATIO,
    default_width,
    num_parameters_of,
    student_shape,
)
from paceline.engine.graph.architecture import Architecture
from paceline.errors import ConfigError
from paceline.models.catalog import SMOLLM2_135M
from paceline.models.prepare import prepare
from tests.paceline.distillation.small_target import TARGET, write_target

SMOLLM2 = replace(TARGET, num_layers=30, hidden_size=576, vocabulary_size=49_152)


@pytest.mark.parametrize(
    ("vocabulary_size", "num_parameters", "width"),
    [(49_152, 134_515_008, 192), (151_936, 494_032_768, 256), (151_936, 1_543_714_304, 256)],
)
def test_a_student_is_ten_times_smaller(vocabulary_size: int, num_parameters: int, width: int) -> None:
    target = replace(TARGET, vocabulary_size=vocabulary_size)
    assert default_width(target, num_parameters, 4) == width
    assert student_shape(target, width, 4).num_parameters * SIZE_RATIO <= num_parameters


def test_a_target_that_is_small_itself_gets_the_narrowest() -> None:
    assert default_width(TARGET, 50_000, 4) == 64


@pytest.mark.parametrize("width", [32, 96, 192, 256])
def test_any_multiple_of_32_makes_a_model_that_int4_can_hold(width: int) -> None:
    shape = student_shape(SMOLLM2, width, 3)
    architecture = shape.architecture
    assert architecture.num_heads * architecture.head_size == width
    assert architecture.vocabulary_size == SMOLLM2.vocabulary_size
    assert shape.intermediate_size % 32 == 0


def test_other_widths_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of 32"):
        student_shape(SMOLLM2, 100, 4)


def test_parameters_are_counted_whatever_their_format(tmp_path: Path) -> None:
    assert num_parameters_of(write_target(tmp_path)) == _count(TARGET, 160)
    for weights in ("int8", "int4"):
        assert num_parameters_of(prepare(SMOLLM2_135M.name, weights)) == SMOLLM2_135M.num_parameters


def _count(shape: Architecture, intermediate_size: int) -> int:
    heads, kv_heads = shape.num_heads * shape.head_size, shape.num_kv_heads * shape.head_size
    size = shape.hidden_size
    layer = 2 * heads * size + 2 * kv_heads * size + 3 * intermediate_size * size + 2 * size
    return shape.num_layers * layer + 2 * shape.vocabulary_size * size + size
