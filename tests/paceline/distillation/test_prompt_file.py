"""The user's own prompts."""

from pathlib import Path

import pytest

from paceline.distillation.prompt_file import read_prompt_file
from paceline.errors import ConfigError

CHAT = r'{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "two\nlines"}]}'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", '[[prompts]]\nname = "x"\ntext = "one"\n[[prompts]]\ntext = """\ntwo\nlines\n"""\n'),
        ("a.jsonl", '{"prompt": "one"}\n\n' + CHAT + '\n{"text": "one"}\n'),
    ],
)
def test_each_prompt_is_read_once(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_prompt_file(tmp_path / name) == ("one", "two\nlines")


def test_a_text_file_has_a_prompt_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\n\n  two \none\n")
    assert read_prompt_file(tmp_path / "a.txt") == ("one", "two")


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("a.csv", "one", ".toml, .jsonl, .txt"),
        ("a.toml", "prompts = 1", "cannot be read"),
        ("a.jsonl", '{"answer": "one"}', "cannot be read"),
        ("a.jsonl", '{"prompt": 1}', "cannot be read"),
        ("a.txt", "\n \n", "no prompt"),
    ],
)
def test_what_is_no_file_of_prompts_is_said(tmp_path: Path, name: str, text: str, what: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=what):
        read_prompt_file(tmp_path / name)
