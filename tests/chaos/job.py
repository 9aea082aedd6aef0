"""What clients ask for: many kinds of requests, and what an undisturbed run answers to each."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from paceline.client.generation import (
    Drafter,
    GenerationRequest,
    RawPrompt,
    Sampling,
    Speculation,
    SpeculationMode,
    StopConditions,
)
from paceline.client.messages import request_message
from paceline.v1 import orchestrator_service_pb2 as pb

# fmt: off
_WORDS = (
    "pace", "line", "draft", "target", "token", "round", "epoch", "lease", "cache", "block", "replica", "session",
)
# fmt: on
_MAX_TOKENS = (60, 420)
_OFF = Speculation(SpeculationMode.OFF)
_SPECULATIONS = (
    _OFF,
    Speculation(SpeculationMode.FIXED, 1),
    Speculation(SpeculationMode.FIXED, 4),
    Speculation(SpeculationMode.FIXED, 8),
    Speculation(SpeculationMode.ADAPTIVE),
    Speculation(SpeculationMode.FIXED, drafter=Drafter.PROMPT_LOOKUP),
)


@dataclass(frozen=True)
class Answer:
    """A finished generation."""

    ids: tuple[int, ...]
    text: str
    finish_reason: int
    stop_text: str
    # None where the token came without: also where it was sent again, so that answers are equal without them.
    logprobs: tuple[float | None, ...] = field(compare=False)


@dataclass(frozen=True)
class Job:
    """A request, and the answer that every run of it must give; empty until it is known."""

    name: str
    request: GenerationRequest
    answer: Answer | None = None

    def with_speculation(self, dice: random.Random) -> GenerationRequest:
        """Return the request with some way to speculate, which must not change the answer."""
        return replace(self.request, speculation=dice.choice(_SPECULATIONS))

    def undisturbed(self) -> pb.GenerateRequest:
        """Return the request for the target alone, as its message."""
        return request_message(replace(self.request, speculation=_OFF))


def long_job(name: str, prompt: str, max_tokens: int = 300) -> Job:
    """Return a job that is answered greedily with all the tokens that it allows."""
    return Job(name, GenerationRequest(RawPrompt(prompt), max_tokens, ignore_eos=True))


def jobs(seed: int, num_jobs: int) -> Iterator[Job]:
    """Yield different requests: greedy or with a seed, with penalties, logprobs or neither."""
    dice = random.Random(seed)
    for number in range(num_jobs):
        words = dice.choices(_WORDS, k=dice.randint(2, 24))
        request = GenerationRequest(
            RawPrompt(f"{number}: {' '.join(words)}"),
            dice.randint(*_MAX_TOKENS),
            ignore_eos=dice.random() < 0.8,
            sampling=_sampled(dice) if number % 2 else Sampling(),
        )
        if number % 3 == 0:
            request = replace(request, sampling=replace(request.sampling, num_logprobs=dice.randint(0, 3)))
        yield Job(f"job {number}", request)


def long_jobs(seed: int, num_jobs: int) -> Iterator[Job]:
    """Yield different requests that are answered with all the tokens that they allow, some hundred each."""
    for job in jobs(seed, num_jobs):
        max_tokens = max(job.request.max_tokens or 0, 200)
        yield replace(job, request=replace(job.request, ignore_eos=True, max_tokens=max_tokens))


def with_stop_text(job: Job) -> Job:
    """Return the job with a stop text that ends it about half way, its answer open again."""
    assert job.answer is not None
    middle = len(job.answer.text) // 2
    stop = StopConditions((job.answer.text[middle : middle + 3],))
    return Job(f"{job.name} with a stop text", replace(job.request, stop=stop))


def _sampled(dice: random.Random) -> Sampling:
    sampling = Sampling(temperature=dice.choice((0.5, 0.9, 1.3)), seed=dice.getrandbits(32))
    return dice.choice(
        (
            sampling,
            replace(sampling, top_p=0.9),
            replace(sampling, top_k=20, min_p=0.02),
            replace(sampling, repetition_penalty=1.2, presence_penalty=0.3, frequency_penalty=0.2),
        )
    )
