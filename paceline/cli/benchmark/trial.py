"""One measurement: some prompts generated at once, one way."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from paceline.cli.benchmark.process_usage import cpu_seconds_between, usage_of
from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.client.completion import Completion
from paceline.client.generation import Chat, GenerationRequest, Sampling, Speculation, SpeculationMode
from paceline.client.orchestrator import Orchestrator
from paceline.models.chat_message import ChatMessage


@dataclass(frozen=True)
class Variant:
    """A way of generating: `num_draft_tokens` a round in mode FIXED, at most so many in ADAPTIVE, none in OFF."""

    num_draft_tokens: int
    mode: SpeculationMode = SpeculationMode.FIXED

    @property
    def name(self) -> str:
        """The name in tables."""
        return f"K = {self.num_draft_tokens}" if self.mode is SpeculationMode.FIXED else NAMES[self.mode]

    @property
    def speculation(self) -> Speculation:
        """The variant as a request says it."""
        return Speculation(self.mode, self.num_draft_tokens or None)


NAMES = {SpeculationMode.OFF: "target-only", SpeculationMode.ADAPTIVE: "adaptive"}
TARGET_ONLY = Variant(0, SpeculationMode.OFF)
ADAPTIVE = Variant(0, SpeculationMode.ADAPTIVE)


@dataclass(frozen=True)
class BenchSampling:
    """How ids are chosen in all trials; with a temperature above 0 the seed makes them the same."""

    temperature: float = 0.0
    seed: int = 0


GREEDY = BenchSampling()


@dataclass(frozen=True)
class PlannedTrial:
    """A trial to be made; trials of one `repeat` and the same prompts are compared with each other."""

    repeat: int
    prompts: tuple[BenchPrompt, ...]
    variant: Variant


@dataclass(frozen=True)
class Trial:
    """A trial that was made: one completion a prompt, in order; CPU seconds are of all processes of the cluster."""

    plan: PlannedTrial
    completions: tuple[Completion, ...]
    cpu_seconds: float | None = None

    @property
    def num_tokens(self) -> int:
        """Tokens of all sessions."""
        return sum(len(one.tokens) for one in self.completions)

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all sessions a second, from the requests to the last token."""
        return self.num_tokens / max(one.seconds for one in self.completions)

    @property
    def decode_tokens_per_second(self) -> float | None:
        """Mean of the sessions' tokens a second after their first ones, times the sessions."""
        rates = [one.decode_tokens_per_second for one in self.completions]
        known = [rate for rate in rates if rate is not None]
        return sum(known) if len(known) == len(rates) else None


async def run_trial(
    orchestrator: Orchestrator,
    plan: PlannedTrial,
    max_tokens: int,
    sampling: BenchSampling,
    pids: Mapping[str, int],
) -> Trial:
    """Generate all prompts of a trial at once with the cluster of these processes; raises CallFailedError."""
    requests = [bench_request(prompt, plan.variant, max_tokens, sampling) for prompt in plan.prompts]
    before = usage_of(pids)
    completions = await asyncio.gather(*(orchestrator.complete(request) for request in requests))
    after = usage_of(pids)
    return Trial(plan, tuple(completions), cpu_seconds_between(before, after) if after else None)


def bench_request(
    prompt: BenchPrompt, variant: Variant, max_tokens: int, sampling: BenchSampling = GREEDY
) -> GenerationRequest:
    """Return a prompt as a chat of one turn."""
    return GenerationRequest(
        Chat((ChatMessage("user", prompt.text),)),
        max_tokens=max_tokens,
        speculation=variant.speculation,
        sampling=Sampling(temperature=sampling.temperature, seed=sampling.seed),
    )
