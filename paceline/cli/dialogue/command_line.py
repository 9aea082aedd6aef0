"""Lines that are commands and not messages."""

from collections.abc import Mapping
from typing import NamedTuple

SLASH = "/"

# Name and arguments, and what it does.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "rewind": ("[TURNS]", "drop the last turn, or so many, and go on from there"),
    "retry": ("[TEMPERATURE]", "answer the last message again, with another seed"),
    "more": ("[TOKENS]", "go on with an answer that was stopped or reached --max-tokens"),
    "fork": ("[TURNS]", "go on in a new branch, without the last turns if so many are given"),
    "branch": ("[NUMBER]", "list the branches, or go to one"),
    "system": ("[TEXT]", "show or set the system message; - removes it"),
    "history": ("", "show the conversation"),
    "stats": ("", "show what each answer cost"),
    "save": ("FILE", "write the conversation to a file"),
    "load": ("FILE", "go on with a conversation of a file"),
    "help": ("", "show this"),
    "quit": ("", "leave, as Ctrl-D does"),
}


class Command(NamedTuple):
    """A command and what stands behind its name."""

    name: str
    argument: str


def read_command(line: str) -> Command | str:
    """Return the command of a line, or the line itself as a message: `//` begins one with a slash."""
    if line.startswith(SLASH * 2):
        return line[1:]
    if not line.startswith(SLASH):
        return line
    name, _, argument = line[1:].strip().partition(" ")
    return Command(name, argument.strip())


def help_text() -> str:
    """Return what each command does, a line each, and how messages are written."""
    width = max(len(f"/{name} {arguments}") for name, (arguments, _) in COMMANDS.items())
    lines = [f"{f'/{name} {arguments}':<{width}}  {what}" for name, (arguments, what) in COMMANDS.items()]
    lines += [
        "",
        "Enter sends; Alt-Enter, Ctrl-J or a backslash at the end of the line begins another one.",
        "Ctrl-C stops an answer, which keeps what came; // begins a message with a slash.",
    ]
    return "\n".join(lines)
