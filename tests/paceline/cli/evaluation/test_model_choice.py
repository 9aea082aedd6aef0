"""Which models are evaluated."""

from pathlib import Path

import pytest

from paceline.cli.evaluation.model_choice import (
    choose_models,
    require_different_names,
    set_up,
    set_up_drafts,
)
from paceline.cli.evaluation.reading.plan import ModelSource
from paceline.errors import ConfigError
from paceline.models.errors import UnknownModelError
from tests.paceline.cli.evaluation.bad_pair import write_bad_pair


def test_a_pair_is_one_draft() -> None:
    found = choose_models("tiny", None, [])
    assert (found.target, found.drafts) == ("smollm2-135m-instruct", ("smollm2-135m-draft",))


def test_named_models_come_before_the_pair() -> None:
    found = choose_models("tiny", "big", ["a", "b"])
    assert (found.target, found.drafts) == ("big", ("a", "b"))


@pytest.mark.parametrize(("target", "drafts"), [("big", []), (None, ["a"])])
def test_half_a_pair_is_refused(target: str | None, drafts: list[str]) -> None:
    with pytest.raises(ConfigError, match="both --target and --draft"):
        choose_models("tiny", target, drafts)


def test_an_unknown_pair_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownModelError, match="reference, tiny"):
        choose_models("huge", None, [])


def test_drafts_of_one_name_are_refused() -> None:
    drafts = [ModelSource("a", "a", "int8", Path("a")), ModelSource("a", "other/a", "int4", Path("other/a"))]
    with pytest.raises(ConfigError, match="same name"):
        require_different_names(drafts)
    require_different_names(drafts[:1])


def test_a_prepared_directory_has_its_own_format_and_a_draft_that_is_the_target_another_name(
    tmp_path: Path,
) -> None:
    target, draft = map(str, write_bad_pair(tmp_path))
    model = set_up(target, "int8")
    assert (model.name, model.source, model.weights) == ("target", target, "f32")
    assert [one.name for one in set_up_drafts([draft, target], "int4", model)] == ["random", "target (draft)"]
