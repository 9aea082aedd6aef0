"""Where the prompt of `paceline generate` comes from."""

import sys
from pathlib import Path

from paceline.client.generation import Chat, Prompt, RawPrompt
from paceline.errors import ConfigError
from paceline.models.chat_message import ChatMessage

STDIN = "-"


def read_prompt(text: str | None, path: Path | None) -> str:
    """Return the prompt of the command line, of a file, or of stdin for `-`; raises ConfigError."""
    if (text is None) == (path is None):
        raise ConfigError("give a prompt, or - to read it from stdin, or --file PATH", setting="prompt")
    if path is not None:
        return _decode(_read_file(path), str(path))
    assert text is not None
    return _decode(sys.stdin.buffer.read(), "stdin") if text == STDIN else text


def make_prompt(text: str, system: str | None, *, is_chat: bool) -> Prompt:
    """Return the text as a chat of one turn, or as it stands; raises ConfigError."""
    if not is_chat:
        if system is not None:
            raise ConfigError("--system belongs to a chat: leave out --raw", setting="system")
        return RawPrompt(text)
    turns = [ChatMessage("user", text)]
    return Chat(tuple([ChatMessage("system", system), *turns] if system is not None else turns))


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", setting="file") from error


def _decode(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{name} is not UTF-8 at byte {error.start}: convert it first", setting="prompt"
        ) from error
