"""Which tokens steer a model instead of being text."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from tokenizers import AddedToken

# Published models end an answer with any of these; llama.cpp's list, without fill-in-the-middle tokens.
END_OF_GENERATION = frozenset(
    {
        "<|endoftext|>",
        "<|im_end|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|end_of_text|>",
        "<|end|>",
        "<|return|>",
        "<end_of_turn>",
        "<｜end▁of▁sentence｜>",
        "</s>",
        "<eos>",
        "<EOT>",
    }
)
CONTROL_SHAPE = re.compile(r"<[|｜][\w▁ ]+[|｜]>")
MATCHES_NOTHING = re.compile(r"(?!)")


class Segment(NamedTuple):
    """A stretch of a text: either the spelling of one control token, or plain text."""

    text: str
    is_control: bool


def looks_like_control(token: str) -> bool:
    """Say whether a token is spelled like `<|name|>`; publishers do not always mark these as special."""
    return CONTROL_SHAPE.fullmatch(token) is not None


def control_token(text: str) -> AddedToken:
    """Describe a control token, which is found before the text around it is normalized."""
    return AddedToken(text, special=True, normalized=False)


def end_of_generation_ids(control_tokens: Mapping[str, int], stated_ids: Iterable[int]) -> tuple[int, ...]:
    """Return every id that ends an answer, ascending: those that the model states and those it names so."""
    named = (token_id for token, token_id in control_tokens.items() if token in END_OF_GENERATION)
    return tuple(sorted({*stated_ids, *named}))


def num_without_padding(tokens: Sequence[str]) -> int:
    """Count the tokens up to the trailing `[PAD<id>]` rows that only round a model's embedding matrix up."""
    num_tokens = len(tokens)
    while num_tokens and tokens[num_tokens - 1] == f"[PAD{num_tokens - 1}]":
        num_tokens -= 1
    return num_tokens


def control_pattern(control_tokens: Iterable[AddedToken]) -> re.Pattern[str]:
    """Build the pattern that finds control tokens, the longest first, with the spaces they swallow."""
    longest_first = sorted(control_tokens, key=lambda token: len(token.content), reverse=True)
    return re.compile("|".join(map(_spelling, longest_first))) if longest_first else MATCHES_NOTHING


def _spelling(token: AddedToken) -> str:
    before, after = (r"\s*" if token.lstrip else ""), (r"\s*" if token.rstrip else "")
    return before + re.escape(token.content) + after


def split_at(control_pattern: re.Pattern[str], text: str) -> Iterator[Segment]:
    """Cut a text into the matches of a pattern and the plain text between them, dropping empty stretches."""
    plain_start = 0
    for match in control_pattern.finditer(text):
        if match.start() > plain_start:
            yield Segment(text[plain_start : match.start()], is_control=False)
        yield Segment(match.group(), is_control=True)
        plain_start = match.end()
    if plain_start < len(text):
        yield Segment(text[plain_start:], is_control=False)
