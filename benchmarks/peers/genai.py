"""OpenVINO GenAI: its pipeline for one text, and its continuous batching for many sessions.

https://openvinotoolkit.github.io/openvino.genai describes both. A prompt that was seen before is not computed again,
as with us, which takes a cache of a fixed size; the rest is as the library has it, unless a precision is given.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, SupportsInt

import numpy as np
import openvino
import openvino_genai

from benchmarks.peers.exchange import Answer, Arrival, Client, Load, Manner, Outcome, Question
from benchmarks.peers.one_by_one import answer_one_by_one
from benchmarks.peers.peer import Peer
from benchmarks.peers.setup import PeerSetup

DEVICE = "CPU"
CACHE_GIB = 1  # tens of thousands of tokens of the reference pair
MAX_PROMPT_TOKENS = 4096


@asynccontextmanager
async def genai(setup: PeerSetup) -> AsyncGenerator[Peer]:
    """Load the pipeline inside a `with`."""
    yield _Batching(setup) if setup.is_batched else _OneText(setup)


class _OneText(Peer):
    """`LLMPipeline`."""

    def __init__(self, setup: PeerSetup) -> None:
        self.about = f"LLMPipeline, {_describe(setup)}"
        self._pipeline: Any = openvino_genai.LLMPipeline(
            str(setup.target.directory), DEVICE, scheduler_config=_scheduler(setup), **_properties(setup)
        )

    async def run(self, load: Load) -> Outcome:
        return await asyncio.to_thread(self._run, load)

    def _run(self, load: Load) -> Outcome:
        metrics: list[Any] = []

        def generate(question: Question, arrive: Callable[[int], None]) -> tuple[int, ...]:
            config = _config(load, question)
            result = self._pipeline.generate(_tensor(question.prompt_ids), config, _Arrivals(arrive))
            metrics.append(result.extended_perf_metrics)
            return tuple(result.tokens[0])

        answers = answer_one_by_one(load, generate)
        told = [one for one in metrics if one is not None]
        return Outcome(
            answers,
            sum(one.get_num_draft_tokens() for one in told),
            sum(one.get_num_accepted_tokens() for one in told),
        )


class _Batching(Peer):
    """`ContinuousBatchingPipeline`."""

    def __init__(self, setup: PeerSetup) -> None:
        self.about = f"ContinuousBatchingPipeline, {_describe(setup)}"
        self._pipeline: Any = openvino_genai.ContinuousBatchingPipeline(
            str(setup.target.directory), _scheduler(setup), DEVICE, _properties(setup)
        )
        self._num_questions = 0

    async def run(self, load: Load) -> Outcome:
        return await asyncio.to_thread(self._run, load)

    def _run(self, load: Load) -> Outcome:
        began_at = time.monotonic()
        clients = [_BatchedClient(client) for client in load.clients]
        while not all(client.has_finished for client in clients):
            now = time.monotonic() - began_at
            for client in clients:
                if client.is_due(now):
                    client.asked(now, self._add(load, client.question))
            if not self._pipeline.has_non_finished_requests():
                time.sleep(max(0.0, min(one.due_seconds for one in clients if not one.has_finished) - now))
                continue
            self._pipeline.step()
            now = time.monotonic() - began_at
            for client in clients:
                client.read(now)
        answers = tuple(answer for client in clients for answer in client.answers)
        return Outcome(answers, *_acceptance(load.manner, answers))

    def _add(self, load: Load, question: Question) -> Any:
        self._num_questions += 1
        return self._pipeline.add_request(
            self._num_questions, _tensor(question.prompt_ids), _config(load, question)
        )


class _BatchedClient:
    """One client's place in its questions."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._handle: Any = None
        self._ids: list[int] = []
        self._arrivals: list[Arrival] = []
        self.due_seconds = client.start_seconds
        self.answers: list[Answer] = []

    @property
    def has_finished(self) -> bool:
        return len(self.answers) == len(self._client.questions)

    @property
    def question(self) -> Question:
        return self._client.questions[len(self.answers)]

    def is_due(self, now: float) -> bool:
        return not self.has_finished and self._handle is None and self.due_seconds <= now

    def asked(self, now: float, handle: Any) -> None:
        self._handle = handle
        self._ids, self._arrivals = [], []

    def read(self, now: float) -> None:
        if self._handle is None:
            return
        if self._handle.can_read():
            new_ids = [token for output in self._handle.read().values() for token in output.generated_ids]
            if new_ids:
                self._ids += new_ids
                self._arrivals.append(Arrival(now - self.due_seconds, len(new_ids)))
        if self._handle.get_status() != openvino_genai.GenerationStatus.RUNNING:
            self.answers.append(
                Answer(self.question.name, self.due_seconds, tuple(self._ids), tuple(self._arrivals))
            )
            self._handle, self.due_seconds = None, now


class _Arrivals(openvino_genai.StreamerBase):
    """Tells when tokens come."""

    def __init__(self, arrive: Callable[[int], None]) -> None:
        super().__init__()
        self._arrive = arrive

    def write(self, token: SupportsInt | Sequence[SupportsInt]) -> Any:
        self._arrive(len(token) if isinstance(token, Sequence) else 1)
        return openvino_genai.StreamingStatus.RUNNING

    def end(self) -> None:
        pass


def _scheduler(setup: PeerSetup) -> Any:
    """The library's, with a cache of a fixed size: one that grows as needed keeps no prompts, whatever it is told."""
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.enable_prefix_caching = setup.keeps_prompts
    scheduler.cache_size = CACHE_GIB
    if not setup.is_batched:
        scheduler.max_num_batched_tokens = (
            MAX_PROMPT_TOKENS  # a prompt in one pass, as that pipeline has it by itself
        )
    return scheduler


def _properties(setup: PeerSetup) -> dict[str, Any]:
    hints: Mapping[str, Any] = {"INFERENCE_PRECISION_HINT": setup.precision} if setup.precision else {}
    if setup.draft is None:
        return dict(hints)
    draft = openvino_genai.draft_model(str(setup.draft.directory), DEVICE, **hints)
    return {**hints, "draft_model": draft}


def _config(load: Load, question: Question) -> Any:
    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = load.max_tokens
    config.stop_token_ids = set(load.eos_ids)
    if load.temperature:
        config.do_sample, config.temperature, config.rng_seed = True, load.temperature, question.seed
    if load.manner.kind == "fixed":
        config.num_assistant_tokens = load.manner.num_draft_tokens
    return config


def _acceptance(manner: Manner, answers: tuple[Answer, ...]) -> tuple[int, int]:
    """Drafted and accepted tokens, read from what came together: this pipeline does not tell."""
    if manner.kind != "fixed":
        return 0, 0
    rounds = [arrival.num_tokens for answer in answers for arrival in answer.arrivals[1:]]
    return manner.num_draft_tokens * len(rounds), sum(number - 1 for number in rounds)


def _tensor(ids: tuple[int, ...]) -> openvino.Tensor:
    return openvino.Tensor(np.array([ids], dtype=np.int64))


def _describe(setup: PeerSetup) -> str:
    draft = f", draft {setup.draft.weights}" if setup.draft else ""
    prompts = "" if setup.keeps_prompts else ", keeps no prompts"
    return f"{setup.target.weights}{draft}, precision {setup.precision or 'default'}{prompts}"
