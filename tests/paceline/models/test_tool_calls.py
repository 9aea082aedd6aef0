"""Calls of tools out of streamed text: the same however it is cut, and nothing is lost."""

import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paceline.models.tool_calls import ParsedText, ToolCall, ToolCallParser, new_tool_call_id
from paceline.models.tool_format import HERMES, LLAMA_3, MISTRAL, ToolFormat, tool_format_of
from tests.paceline.models.template_files import LLAMA, QWEN, template_source
from tests.paceline.models.template_files import MISTRAL as LIKE_MISTRAL

FORMATS = [HERMES, LLAMA_3, MISTRAL]
PARIS = ToolCall("weather", '{"city": "Paris"}')
CLOCK = ToolCall("clock", "{}")

# Whatever has a meaning in one of the formats, and some text.
FRAGMENTS = [
    *(
        "<tool_call>",
        "</tool_call>",
        "<tool",
        "_call>",
        "</",
        "<|python_tag|>",
        "[TOOL_CALLS]",
        "[TOOL",
        "_CALLS]",
    ),
    *('{"name": "f", "arguments": {"a": [1, "}]"]}}', '{"name": "f", "parameters": {}}', '{"name": "f"}'),
    *('[{"name": "f", "arguments": {}}, {"name": "g", "arguments": {"x": "\\"{"}}]', '{"answer": 3}'),
    *("```json", "```", "`", "json"),
    *("{", "}", "[", "]", '"', "\\", ",", ";", " ", "\n", "  \n", "text", "é", "<", "NaN"),
]
texts = st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join)


def parsed(tool_format: ToolFormat, pieces: Sequence[str], names: Sequence[str] = ()) -> ParsedText:
    parser = ToolCallParser(tool_format, names)
    parts = [*map(parser.push, pieces), parser.finish()]
    return ParsedText(
        "".join(one.content for one in parts), tuple(call for one in parts for call in one.calls)
    )


def spelled(call: ToolCall, tool_format: ToolFormat) -> str:
    return f'{{"name": {json.dumps(call.name)}, "{tool_format.arguments_key}": {call.arguments}}}'


def called(tool_format: ToolFormat, *calls: ToolCall) -> str:
    """Calls as a model of the format writes them."""
    bodies = [spelled(call, tool_format) for call in calls]
    if tool_format is MISTRAL:
        return f"[TOOL_CALLS] [{', '.join(bodies)}]"
    if tool_format is LLAMA_3:
        return "; ".join(bodies)
    return "\n".join(f"<tool_call>\n{body}\n</tool_call>" for body in bodies)


@pytest.mark.parametrize("tool_format", FORMATS)
@pytest.mark.parametrize("calls", [(PARIS,), (PARIS, CLOCK)])
def test_calls_are_read_as_each_format_writes_them(tool_format: ToolFormat, calls: tuple[ToolCall, ...]):
    assert parsed(tool_format, [called(tool_format, *calls)]) == ("", calls)
    assert parsed(tool_format, ["\n", called(tool_format, *calls), " \n"]) == ("", calls)


@pytest.mark.parametrize("tool_format", FORMATS)
@given(text=texts, cuts=st.lists(st.integers(0, 200), max_size=8))
@settings(max_examples=60, deadline=None)
def test_any_cut_of_a_text_gives_the_same(tool_format: ToolFormat, text: str, cuts: list[int]):
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]
    for names in ([], ["f"]):
        whole = parsed(tool_format, [text], names)
        assert parsed(tool_format, pieces, names) == whole
        assert parsed(tool_format, list(text), names) == whole


@pytest.mark.parametrize("tool_format", FORMATS)
@given(text=texts)
@settings(max_examples=60, deadline=None)
def test_what_is_no_call_comes_back_just_as_it_was_written(tool_format: ToolFormat, text: str):
    content, calls = parsed(tool_format, [text], ["f"])
    if not calls:
        assert content == text
    for call in calls:
        assert isinstance(json.loads(call.arguments), dict)
        assert json.loads(call.arguments) != {"answer": 3}


@given(before=st.text(max_size=20), after=st.text(max_size=20))
def test_text_around_calls_is_content(before: str, after: str):
    if "<" in before + after:
        return
    text = before + called(HERMES, PARIS) + after
    content = (before if before.strip(" \t\r\n") else "") + (after if after.strip(" \t\r\n") else "")
    assert parsed(HERMES, [text]) == (content, (PARIS,))


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>",
        "<tool_call>\nweather()\n</tool_call>",
        '<tool_call>{"name": "weather", "arguments": {"city": </tool_call>',
        '<tool_call>{"name": "weather", "arguments": {}} and so on</tool_call>',
        '<tool_call>{"name": 3, "arguments": {}}</tool_call>',
        '<tool_call>{"name": "", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "weather", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "weather", "arguments": "[1]"}</tool_call>',
        '<tool_call>{"name": "weather", "arguments": {"x": NaN}}</tool_call>',
        '<tool_call>{"name": "weather", "arguments": {"x": 1e999}}</tool_call>',
        '<tool_call>{"name": "weather", "arguments": {]}</tool_call>',
        "<tool_call>" + '{"a":' * 5000 + "1" + "}" * 5000 + "</tool_call>",
        "a < b, <tool",
    ],
)
def test_malformed_calls_are_content(text: str):
    assert parsed(HERMES, [text]) == (text, ())


def test_a_good_call_behind_a_malformed_one_is_a_call():
    broken = "<tool_call>oops</tool_call>"
    assert parsed(HERMES, [broken + called(HERMES, PARIS)]) == (broken, (PARIS,))


def test_a_closing_tag_in_an_argument_closes_nothing():
    call = ToolCall("say", '{"text": "</tool_call> \\"<tool_call>"}')
    assert parsed(HERMES, [called(HERMES, call)]) == ("", (call,))


@pytest.mark.parametrize("ending", ["", "\n", "\n</tool", "</tool_call"])
def test_a_call_that_only_lacks_its_closing_tag_is_one(ending: str):
    assert parsed(HERMES, [f"<tool_call>\n{spelled(PARIS, HERMES)}{ending}"]) == ("", (PARIS,))


def test_arguments_in_a_string_and_arguments_that_are_missing_are_taken():
    assert parsed(HERMES, ['<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>']).calls == (
        ToolCall("f", '{"a": 1}'),
    )
    assert parsed(HERMES, ['<tool_call>{"name": "f"}</tool_call>']).calls == (ToolCall("f", "{}"),)


@pytest.mark.parametrize(
    "text", ['{"name": "Ada"}', '{"answer": {"parameters": {}}}', "{}", "{1", '{"name": "f"']
)
def test_an_answer_in_json_is_no_call_of_llamas(text: str):
    assert parsed(LLAMA_3, [text]) == (text, ())


def test_a_bare_call_stands_at_the_beginning_only():
    text = "It is " + spelled(PARIS, LLAMA_3)
    assert parsed(LLAMA_3, [text]) == (text, ())
    assert parsed(MISTRAL, ["[1] says: ", called(MISTRAL, PARIS)[len("[TOOL_CALLS]") :]]).calls == ()


def test_a_call_whose_opening_is_a_control_token_is_known_by_its_json():
    assert parsed(MISTRAL, [called(MISTRAL, PARIS, CLOCK).removeprefix("[TOOL_CALLS] ")]).calls == (
        PARIS,
        CLOCK,
    )


BLOCK = f"```json\n{spelled(PARIS, HERMES)}\n```"


@pytest.mark.parametrize("text", [BLOCK, f"\n{BLOCK}\n", spelled(PARIS, HERMES), f"{BLOCK}\n{BLOCK}"])
def test_a_block_of_code_that_calls_an_offered_tool_is_a_call(text: str):
    num_calls = text.count("Paris")
    assert parsed(HERMES, [text], ["weather"]) == ("", (PARIS,) * num_calls)
    assert parsed(HERMES, [text], ["clock"]) == (text, ())
    assert parsed(HERMES, [text]) == (text, ())


@pytest.mark.parametrize(
    "text",
    [
        f"Like this: {BLOCK}",
        '```json\n{"name": "weather"}\n```',
        f"```json\n{spelled(PARIS, HERMES)} // calls\n```",
        "```python\nweather()\n```",
        '{"name": "weather"}',
        "`",
        "```js",
    ],
)
def test_other_blocks_of_code_and_json_are_content(text: str):
    assert parsed(HERMES, [text], ["weather"]) == (text, ())


def test_content_is_not_held_back_longer_than_a_call_may_begin():
    parser = ToolCallParser(HERMES)
    assert parser.push("a <b> c <to").content == "a <b> c "
    assert parser.push("ol").content == ""
    assert parser.push("s>").content == "<tools>"
    assert parser.push("<tool_call>{").content == ""
    assert parser.push('"name": "clock"}</tool_call>') == ("", (ToolCall("clock", "{}"),))
    assert parser.push("\nDone.").content == "\nDone."


def test_a_call_comes_as_soon_as_it_is_complete():
    parser, text = ToolCallParser(HERMES), called(HERMES, PARIS)
    assert [parser.push(character).calls for character in text][-1] == (PARIS,)
    assert parser.finish() == ("", ())


def test_formats_are_known_by_what_templates_say():
    assert tool_format_of(template_source(QWEN)) is HERMES
    assert tool_format_of(template_source(LLAMA)) is LLAMA_3
    assert tool_format_of(template_source(LIKE_MISTRAL)) is MISTRAL


@pytest.mark.parametrize(
    "template",
    [
        None,
        "{{ messages[0].content }}",
        "{{ '<tool_call>\\n<function=' + name + '>' }} arguments",
        "{{ '<tool_call>' + name + '<arg_key>' }} arguments",
        "{{ '[TOOL_CALLS]' + name + '[ARGS]' }}",
    ],
)
def test_other_formats_are_not_guessed_at(template: str | None):
    assert tool_format_of(template) is None


def test_calls_get_names_that_every_template_takes_back():
    names = {new_tool_call_id() for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) == 9 and name.isascii() and name.isalnum() for name in names)
