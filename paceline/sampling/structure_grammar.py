"""Structures as grammars of llguidance, and its complaints as sentences."""

import json
import re
import textwrap

from llguidance import LLMatcher, grammar_from, regex_to_lark

from paceline.errors import InvalidRequestError
from paceline.sampling.parameters import Structure, StructureKind

# UTF-8 bytes. llguidance takes 18 s for some regular expressions of 60 kB and 1 s for the same of 16 kB.
MAX_STRUCTURE_BYTES = {
    StructureKind.JSON_SCHEMA: 64 * 1024,
    StructureKind.REGEX: 16 * 1024,
    StructureKind.CHOICE: 64 * 1024,
    StructureKind.GRAMMAR: 16 * 1024,
}

# llguidance repeats a whole regular expression; an error must fit into the trailers of an RPC.
MAX_COMPLAINT_LENGTH = 300

_NAMES = {
    StructureKind.JSON_SCHEMA: "JSON schema",
    StructureKind.REGEX: "regular expression",
    StructureKind.CHOICE: "list of choices",
    StructureKind.GRAMMAR: "grammar",
}
_CAUSES = {
    "oneOf constraints are not supported": "schemas of a oneOf may match the same value; use anyOf, or tell them apart "
    "by a constant",
    "NoExtensionBias": "no token of the model's vocabulary can begin a text that matches it",
    "lexer precomputation failed": "it is too complex",
}
_PLACE = re.compile(r"^(?:at )?(\d+)\((\d+)\): ")


def refusal(structure: Structure, complaint: str) -> InvalidRequestError:
    """Return the error for a structure that cannot be served."""
    return InvalidRequestError(
        f"structure is no {_NAMES[structure.kind]} that can be served: {complaint}; "
        "docs/structured-output.md lists what can",
        field="sampling.structure",
        kind=structure.kind.value,
    )


def grammar_of(structure: Structure) -> str:
    """Return a structure in llguidance's own format, not yet checked by it.

    Raises InvalidRequestError for what is too large, or not even JSON where JSON is expected.
    """
    _check_size(structure)
    try:
        match structure.kind:
            case StructureKind.JSON_SCHEMA:
                return _json_grammar(_schema_text(structure))
            case StructureKind.REGEX:
                # \d is 0-9, as in a JSON schema, and no digit of another script.
                return LLMatcher.grammar_from_lark(f"start: /{regex_to_lark(structure.text, 'd')}/")
            case StructureKind.CHOICE:
                # JSON's escapes are those of Lark strings.
                return LLMatcher.grammar_from_lark(
                    "start: " + " | ".join(map(json.dumps, _choices(structure)))
                )
            case StructureKind.GRAMMAR:
                return grammar_from("grammar", structure.text)
    except (RecursionError, ValueError) as error:
        raise refusal(structure, sentence_of(structure.kind, str(error))) from error


def sentence_of(kind: StructureKind, message: str) -> str:
    """Return the part of an llguidance message that says what is wrong, without its drawings.

    Of the lines 'at 1(8): invalid regex "(" (in regex): regex parse error:', '    (', '    ^', 'error: unclosed group'
    the last is left. Only a grammar keeps the place: the others were wrapped before they were read.
    """
    lines = message.strip().splitlines() or ["it is not understood"]
    cause = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), None)
    place = _PLACE.match(lines[0])
    text = cause or lines[0][place.end() if place else 0 :]
    text = next((cause for beginning, cause in _CAUSES.items() if text.startswith(beginning)), text)
    if place and kind is StructureKind.GRAMMAR:
        text = f"line {place[1]}, column {place[2]}: {text}"
    return textwrap.shorten(text, MAX_COMPLAINT_LENGTH).rstrip(".: ")


def _check_size(structure: Structure) -> None:
    num_bytes = len(structure.text.encode("utf-8", errors="replace"))
    maximum = MAX_STRUCTURE_BYTES[structure.kind]
    if num_bytes > maximum:
        raise InvalidRequestError(
            f"structure is a {_NAMES[structure.kind]} of {num_bytes} bytes and may have at most {maximum}; "
            "simplify it",
            field="sampling.structure",
            kind=structure.kind.value,
            value=num_bytes,
            maximum=maximum,
        )


def _json_grammar(schema: str) -> str:
    """Return the grammar of a schema's JSON, with one space allowed wherever JSON allows any, and none demanded.

    So a model can write `{"a": 1}` and `{"a":1}`, and can neither indent nor go on with spaces for ever. The other
    options keep invalid output out: an unknown key written with hexadecimal escapes may be one that the schema knows,
    and a schema's own "x-guidance" could turn checks off.
    """
    return LLMatcher.grammar_from_json_schema(
        schema,
        overrides={
            "whitespace_pattern": " ",
            "item_separator": ",",
            "key_separator": ":",
            "json_allowed_escapes": 'nrbtf\\"',
            "lenient": False,
            "coerce_one_of": False,
        },
    )


def _schema_text(structure: Structure) -> str:
    schema = _parsed(structure)
    if schema is True:
        return "{}"
    if not isinstance(schema, dict):
        raise refusal(structure, "it must be a JSON object or true")
    return structure.text


def _choices(structure: Structure) -> list[str]:
    choices = _parsed(structure)
    if not (isinstance(choices, list) and choices and all(isinstance(one, str) and one for one in choices)):
        raise refusal(structure, "it must be a JSON array of at least one text, none of them empty")
    return choices


def _parsed(structure: Structure) -> object:
    try:
        return json.loads(structure.text)
    except (RecursionError, ValueError) as error:
        raise refusal(structure, f"it is not JSON: {error}") from error
