"""Progress, with and without a terminal."""

import io

import pytest
from rich.console import Console

from paceline.cli.evaluation import progress_view
from paceline.cli.evaluation.progress_view import ProgressView


def text_console() -> Console:
    return Console(file=io.StringIO(), width=100)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_lines_say_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_view, "_LINE_SECONDS", 0.0)
    console = text_console()
    with ProgressView({"speed": 2.0}, console) as view, view.part("speed") as report:
        report("code [a], K = 3", 1, 4)
    assert shown(console).splitlines()[0] == "speed: code [a], K = 3, 1 of 4"
    assert "speed: done in 0 s" in shown(console)
    assert "\x1b" not in shown(console)


def test_lines_do_not_come_thick_and_fast() -> None:
    console = text_console()
    with ProgressView({}, console) as view, view.part("speed") as report:
        for number in range(100):
            report("a", number, 100)
    assert shown(console).splitlines() == ["speed: done in 0 s"]


def test_a_part_that_fails_is_not_done() -> None:
    console = text_console()
    view = ProgressView({"speed": 2.0}, console)
    with pytest.raises(ValueError, match="broken"), view, view.part("speed"):
        raise ValueError("broken")
    assert shown(console) == ""


def test_a_terminal_shows_the_part_and_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with ProgressView({"speed": 2.0, "load": 2.0}, console) as view:
        view.skip("load")
        with view.part("speed") as report:
            report("code [a], K = 3", 1, 2)
            view._bars.refresh()  # as it does twice a second
            view.say("a line")
    assert "speed: code [a], K = 3" in shown(console)
    assert "evaluation" in shown(console)
    assert "75%" in shown(console)
    assert "a line" in shown(console)
