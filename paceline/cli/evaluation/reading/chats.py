"""Prompts as the orchestrator encodes them, for models that share a vocabulary."""

from collections.abc import Sequence

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.evaluation.reading.plan import ReadingPlan
from paceline.cli.evaluation.reading.texts import Ids
from paceline.errors import ConfigError
from paceline.models.chat_message import ChatMessage
from paceline.models.tokenizer import Tokenizer


def encoded_prompts(prompts: Sequence[BenchPrompt], tokenizer: Tokenizer) -> list[Ids]:
    """Return the ids of chats of one turn; raises as `Tokenizer.encode_chat` does."""
    return [tuple(tokenizer.encode_chat([ChatMessage("user", prompt.text)])) for prompt in prompts]


def require_shared_vocabulary(plan: ReadingPlan, tokenizer: Tokenizer) -> None:
    """Refuse drafts whose ids mean other tokens than the target's: raises ConfigError."""
    for draft in plan.drafts:
        if Tokenizer.load(draft.directory).vocabulary_hash != tokenizer.vocabulary_hash:
            raise ConfigError(
                f"{draft.name} cannot draft for {plan.target.name}: they do not share a vocabulary; "
                "choose a draft of the same family",
                setting="draft",
            )
