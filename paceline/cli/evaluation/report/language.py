"""In which language a report speaks, and its wording."""

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

_WORDS = Path(__file__).with_name("words")


class Language(StrEnum):
    """A language that reports are written in."""

    EN = "en"
    JA = "ja"


def wording(language: Language) -> Mapping[str, str]:
    """Return the texts of a language by `section.key`; placeholders are those of `str.format`.

    A file of TOML a language: whoever translates needs no program, and reading it needs no package.
    """
    sections = tomllib.loads((_WORDS / f"{language}.toml").read_text(encoding="utf-8"))
    return {f"{section}.{key}": text for section, texts in sections.items() for key, text in texts.items()}
