"""One measurement: some prompts generated at once, one way."""

import asyncio
from dataclasses import dataclass

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.client.completion import Completion
from paceline.client.generation import Chat, GenerationRequest, Speculation, SpeculationMode
from paceline.client.orchestrator import Orchestrator
from paceline.models.chat_message import ChatMessage


@dataclass(frozen=True)
class Variant:
    """A way of generating: `num_draft_tokens` a round, 0 for the target alone."""

    num_draft_tokens: int

    @property
    def name(self) -> str:
        """The name in tables."""
        return f"K = {self.num_draft_tokens}" if self.num_draft_tokens else "target-only"

    @property
    def speculation(self) -> Speculation:
        """The variant as a request says it."""
        if not self.num_draft_tokens:
            return Speculation(SpeculationMode.OFF)
        return Speculation(SpeculationMode.FIXED, self.num_draft_tokens)


TARGET_ONLY = Variant(num_draft_tokens=0)


@dataclass(frozen=True)
class PlannedTrial:
    """A trial to be made; trials of one `repeat` and the same prompts are compared with each other."""

    repeat: int
    prompts: tuple[BenchPrompt, ...]
    variant: Variant


@dataclass(frozen=True)
class Trial:
    """A trial that was made: one completion a prompt, in order."""

    plan: PlannedTrial
    completions: tuple[Completion, ...]

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all sessions a second, from the requests to the last token."""
        num_tokens = sum(len(one.tokens) for one in self.completions)
        return num_tokens / max(one.seconds for one in self.completions)

    @property
    def decode_tokens_per_second(self) -> float | None:
        """Mean of the sessions' tokens a second after their first ones, times the sessions."""
        rates = [one.decode_tokens_per_second for one in self.completions]
        known = [rate for rate in rates if rate is not None]
        return sum(known) if len(known) == len(rates) else None


async def run_trial(orchestrator: Orchestrator, plan: PlannedTrial, max_tokens: int) -> Trial:
    """Generate all prompts of a trial at once; raises CallFailedError."""
    requests = [bench_request(prompt, plan.variant, max_tokens) for prompt in plan.prompts]
    completions = await asyncio.gather(*(orchestrator.complete(request) for request in requests))
    return Trial(plan, tuple(completions))


def bench_request(prompt: BenchPrompt, variant: Variant, max_tokens: int) -> GenerationRequest:
    """Return a prompt as a chat of one turn."""
    chat = Chat((ChatMessage("user", prompt.text),))
    return GenerationRequest(chat, max_tokens=max_tokens, speculation=variant.speculation)
