"""How a model writes calls of tools into its text."""

from dataclasses import dataclass
from typing import NamedTuple


class Frame(NamedTuple):
    """What stands around the JSON of calls.

    Attributes:
        opening: Text before it; empty where the JSON stands by itself. Where it is a control token, the text that
            clients get lacks it.
        closing: Text behind it; empty where the JSON's own end is the end.
        is_loose: Whether it may just as well be something else, so that only JSON that calls a tool which was offered
            is a call.
    """

    opening: str = ""
    closing: str = ""
    is_loose: bool = False


@dataclass(frozen=True)
class ToolFormat:
    """How calls are written.

    Attributes:
        name: What people call the format.
        frame: Around calls, wherever they stand.
        first_frames: Others, which count only where the text begins or behind another call.
        bracket: What the JSON begins with: `{` for one call, `[` for a list of them.
        arguments_key: Beside `name`, what the arguments are called.
        separators: What may stand between two calls.
        has_several: Whether one answer may have several calls.
    """

    name: str
    frame: Frame
    first_frames: tuple[Frame, ...] = ()
    bracket: str = "{"
    arguments_key: str = "arguments"
    separators: str = " \t\r\n"
    has_several: bool = True


# Nous Research's, which Qwen2.5 and many others were trained with. Small models forget the tags: Qwen2.5-Coder-1.5B
# mostly writes its calls as a code block.
HERMES = ToolFormat(
    "hermes",
    Frame("<tool_call>", "</tool_call>"),
    (Frame("```json", "```", is_loose=True), Frame(is_loose=True)),
)
# https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1: one call, and nothing else in the answer.
LLAMA_3 = ToolFormat(
    "llama-3",
    Frame("<|python_tag|>"),
    (Frame(),),
    arguments_key="parameters",
    separators=" \t\r\n;",
    has_several=False,
)
# Up to version 7 of Mistral's tokenizers.
MISTRAL = ToolFormat("mistral", Frame("[TOOL_CALLS]"), (Frame(),), bracket="[")

# Templates that write calls otherwise between the same tags: Qwen3-Coder's and GLM's.
_OTHER_SPELLINGS = ("<function=", "<arg_key>")


def tool_format_of(chat_template: str | None) -> ToolFormat | None:
    """Return the format that a chat template teaches; None where it is not known, so that nothing can be read."""
    if chat_template is None:
        return None
    if HERMES.frame.opening in chat_template:
        is_known = "arguments" in chat_template and not any(one in chat_template for one in _OTHER_SPELLINGS)
        return HERMES if is_known else None
    if MISTRAL.frame.opening in chat_template:
        return None if "[ARGS]" in chat_template else MISTRAL
    return LLAMA_3 if '{"name": function name, "parameters":' in chat_template else None
