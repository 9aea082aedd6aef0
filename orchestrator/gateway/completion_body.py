"""The body of `POST /v1/completions`."""

from typing import TypeAlias

from orchestrator.gateway.extension import Items, Uint32
from orchestrator.gateway.generation_body import GenerationBody

# A text, ids, several texts, or several prompts of ids.
PromptField: TypeAlias = str | Items[Uint32] | Items[str] | Items[Items[Uint32]]
Prompt: TypeAlias = str | list[int]


class CompletionBody(GenerationBody):
    """Prompts to go on from as they stand."""

    prompt: PromptField | None = None
    echo: bool | None = None
    logprobs: Uint32 | None = None

    @property
    def prompts(self) -> list[Prompt]:
        """The prompts; none where a session goes on without one."""
        match self.prompt:
            case None:
                return []
            case str(text):
                return [text]
            case [int(), *_] as ids:
                return [ids]  # pyright: ignore[reportReturnType], a list whose first is an id has ids only
            case prompts:
                return list(prompts)  # pyright: ignore[reportReturnType]
