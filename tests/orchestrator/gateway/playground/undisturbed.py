"""What the scripted target answers when nothing goes wrong."""

from collections.abc import Sequence

from tests.orchestrator.gateway.playground.browser import NUM_TOKENS
from tests.orchestrator.gateway.playground.prose import TOKENIZER, prose

Message = tuple[str, str]


def prompt_ids(messages: Sequence[Message]) -> list[int]:
    """The ids of a conversation that waits for an answer."""
    return list(
        "".join(f"{role}: {content}\n" for role, content in (*messages, ("assistant", ""))).encode()[:-1]
    )


def answer(*messages: Message, num_tokens: int = NUM_TOKENS) -> str:
    """The answer to a conversation."""
    return text_after(prompt_ids(messages), num_tokens)


def text_after(ids: Sequence[int], num_tokens: int) -> str:
    """What the target writes after ids."""
    return TOKENIZER.decode(prose(ids, num_tokens))
