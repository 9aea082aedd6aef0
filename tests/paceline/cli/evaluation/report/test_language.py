"""Both languages say the same."""

import string

import pytest

from paceline.cli.evaluation.report.language import Language, wording


def placeholders(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


def test_all_languages_have_the_same_texts():
    english, *others = (wording(language) for language in Language)
    for other in others:
        assert list(other) == list(english)


@pytest.mark.parametrize("language", list(Language))
def test_all_languages_fill_in_the_same(language):
    english, own = wording(Language.EN), wording(language)
    assert {key: placeholders(text) for key, text in own.items()} == {
        key: placeholders(text) for key, text in english.items()
    }


def test_japanese_is_japanese():
    english, japanese = wording(Language.EN), wording(Language.JA)
    same = {key for key, text in english.items() if japanese[key] == text}
    # Units, symbols and what has no word in the text itself.
    assert {key.partition(".")[0] for key in same} <= {
        "units",
        "estimates",
        "variants",
        "series",
        "latency",
        "speed",
        "costs",
        "method",
        "formats",
        "terminal",
        "memory",
        "load",
    }
    assert len(same) < 0.15 * len(english)
