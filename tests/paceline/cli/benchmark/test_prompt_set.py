"""The prompts that are measured."""

from pathlib import Path

import pytest

from paceline.cli.benchmark.prompt_set import read_prompts
from paceline.errors import ConfigError


def test_every_kind_has_several_different_prompts() -> None:
    prompts = read_prompts("all")
    kinds = {prompt.kind for prompt in prompts}
    assert kinds == {"chat", "code", "japanese", "prose", "summary"}
    assert all(sum(prompt.kind == kind for prompt in prompts) >= 4 for kind in kinds)
    assert len({prompt.text for prompt in prompts}) == len(prompts)
    assert len({(prompt.kind, prompt.name) for prompt in prompts}) == len(prompts)


def test_kinds_come_in_the_order_that_was_asked_for() -> None:
    assert list(dict.fromkeys(one.kind for one in read_prompts("prose,code"))) == ["prose", "code"]


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[prompts]]\nname = "one"\ntext = "  Say one.\\n"\n')
    (prompt,) = read_prompts(str(path))
    assert (prompt.kind, prompt.name, prompt.text) == ("mine", "one", "Say one.")


@pytest.mark.parametrize("content", ["", "prompts = 3", "[[prompts]]\nname = 'no text'", "no toml"])
def test_a_file_without_prompts_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match="name and text"):
        read_prompts(str(path))


def test_an_unknown_kind_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"poetry.*all, chat, code, japanese, prose, summary"):
        read_prompts("code,poetry")
