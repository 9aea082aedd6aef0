"""Where the prompt of `paceline generate` comes from."""

import sys
from pathlib import Path

from paceline.client.generation import Chat, Continuation, ContinuationMode, Prompt, RawPrompt
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


def continuation_of(resume: str | None, rewind: str | None, fork: str | None) -> Continuation | None:
    """Return how the options go on with a session, None where they do not; raises ConfigError."""
    wishes = {ContinuationMode.RESUME: resume, ContinuationMode.REWIND: rewind, ContinuationMode.FORK: fork}
    given = [Continuation(token, mode) for mode, token in wishes.items() if token is not None]
    if len(given) > 1:
        raise ConfigError("give one of --resume, --rewind and --fork", setting="resume")
    return given[0] if given else None


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
