import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paceline.cli import models as command
from paceline.models.cache import model_path
from paceline.models.catalog import PAIRS, SMOLLM2_135M, SMOLLM2_135M_DRAFT
from paceline.models.errors import WrongBytesError

WRONG_BYTES = WrongBytesError(Path("model.gguf"), expected_sha256="a" * 64, actual_sha256="b" * 64)


def run(*arguments: str):
    return CliRunner().invoke(command.app, arguments, env={"COLUMNS": "80"})


@pytest.fixture
def pulled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models that a command pulled, without their bytes."""
    names: list[str] = []

    def pull(model, cache_dir, *_, **__):
        names.append(model.name)
        return model_path(model, cache_dir)

    monkeypatch.setattr(command, "pull", pull)
    return names


def test_list_shows_every_model_and_pair_in_full(tmp_path: Path):
    result = run("list", "--cache-dir", str(tmp_path))
    assert result.exit_code == 0
    for name in [*command.MODELS, *PAIRS]:
        assert name in result.stdout


def test_list_as_json_says_what_is_on_this_machine(tmp_path: Path):
    listed = json.loads(run("list", "--json", "--cache-dir", str(tmp_path)).stdout)
    assert [one["is_pulled"] for one in listed["models"]] == [False] * 3
    assert listed["pairs"][0] == {
        "name": "reference",
        "target": "qwen2.5-coder-1.5b-instruct",
        "draft": "qwen2.5-coder-0.5b-instruct",
    }


def test_a_pair_pulls_its_models_once_each(pulled: list[str], tmp_path: Path):
    result = run("pull", "reference", "tiny", SMOLLM2_135M.name, "--json", "--cache-dir", str(tmp_path))
    assert result.exit_code == 0
    assert pulled == ["qwen2.5-coder-1.5b-instruct", "qwen2.5-coder-0.5b-instruct", "smollm2-135m-instruct"]
    assert [one["name"] for one in json.loads(result.stdout)["models"]] == pulled


def test_a_shipped_draft_is_named_and_not_pulled(pulled: list[str]):
    result = run("pull", SMOLLM2_135M_DRAFT.name)
    assert (result.exit_code, pulled) == (0, [])
    assert (
        f"{SMOLLM2_135M_DRAFT.name} is part of the package: {SMOLLM2_135M_DRAFT.directory}" in result.stdout
    )


def test_an_unknown_name_pulls_nothing_and_exits_2(pulled: list[str]):
    result = run("pull", "tiny", "tinny")
    assert result.exit_code == 2
    assert "no model or pair 'tinny'" in result.stderr
    assert not pulled


@pytest.mark.parametrize(("failure", "exit_code"), [(WRONG_BYTES, 1), (KeyboardInterrupt(), 130)])
def test_a_failure_is_one_message_and_an_exit_code(monkeypatch: pytest.MonkeyPatch, failure, exit_code: int):
    monkeypatch.setattr(command, "pull", _raiser(failure))
    result = run("pull", "tiny")
    assert result.exit_code == exit_code
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr


def test_a_failure_as_json_carries_its_reason(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command, "pull", _raiser(WRONG_BYTES))
    result = run("pull", "tiny", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"]["reason"] == "WRONG_BYTES"


def test_a_pair_is_prepared_in_the_formats_that_it_is_served_in(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command, "find_or_prepare", lambda source, weights, _: Path(f"/{source}-{weights}"))
    result = run("prepare", "tiny", "reference", "tiny", "--json")
    assert [one["path"] for one in json.loads(result.stdout)["models"]] == [
        "/smollm2-135m-instruct-int8",
        "/smollm2-135m-draft-int4",
        "/qwen2.5-coder-1.5b-instruct-int8",
        "/qwen2.5-coder-0.5b-instruct-int4",
    ]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "what"),
    [
        (["tinny"], 2, "no model or pair 'tinny'"),
        (["tiny", "--weights", "int3"], 1, "'int3'"),
        (["missing.gguf"], 2, "no model or pair 'missing.gguf'"),
        (["no/such-model"], 1, "'no/such-model'"),
    ],
)
def test_what_cannot_be_prepared_is_one_sentence(
    tmp_path: Path, arguments: list[str], exit_code: int, what: str
):
    result = run("prepare", *arguments, "--json", "--cache-dir", str(tmp_path))
    assert result.exit_code == exit_code
    assert what in json.loads(result.stdout)["error"]["message"]


def _raiser(failure: BaseException):
    def fail(*_, **__):
        raise failure

    return fail
