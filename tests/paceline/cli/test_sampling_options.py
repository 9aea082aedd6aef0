from pathlib import Path

import pytest

from paceline.cli.sampling_options import choose_structure, parse_logit_bias
from paceline.errors import ConfigError
from paceline.sampling.parameters import Structure, StructureKind


def test_biases_are_read_by_id():
    assert parse_logit_bias(["12=-5", "3=0.5"]) == {12: -5.0, 3: 0.5}


@pytest.mark.parametrize("text", ["12", "x=1", "1=x", "-1=2", "4294967296=1", "="])
def test_what_is_no_bias_is_refused(text: str):
    with pytest.raises(ConfigError, match="--logit-bias"):
        parse_logit_bias([text])


def test_each_option_makes_its_structure(tmp_path: Path):
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    assert choose_structure(None, None, (), None) is None
    assert choose_structure(schema, None, (), None) == Structure(
        StructureKind.JSON_SCHEMA, '{"type": "object"}'
    )
    assert choose_structure(None, "a+", (), None) == Structure(StructureKind.REGEX, "a+")
    assert choose_structure(None, None, ("a", "b"), None) == Structure(StructureKind.CHOICE, '["a", "b"]')


def test_several_structures_or_a_missing_file_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="only one"):
        choose_structure(None, "a+", ("a",), None)
    with pytest.raises(ConfigError, match="cannot be read"):
        choose_structure(tmp_path / "missing.json", None, (), None)
