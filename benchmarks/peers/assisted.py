"""transformers: `generate`, alone and with `assistant_model` (assisted generation), one text at a time.

In f32, bf16, or int8: what torch has without other packages is weights in int8 under activations in bf16, as gpt-fast
uses it. Its dynamic quantisation turned the tiny model's text to nonsense.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.generation.streamers import BaseStreamer

from benchmarks.peers.exchange import Load, Outcome, Question
from benchmarks.peers.one_by_one import answer_one_by_one
from benchmarks.peers.peer import Peer
from benchmarks.peers.setup import Model, PeerSetup

INT8 = "int8"
INT8_MATMUL: Any = torch.ops.aten._weight_int8pack_mm  # noqa: SLF001 - torch has no public name for it
DTYPES = {INT8: torch.bfloat16, "bf16": torch.bfloat16, "f32": torch.float32}


@asynccontextmanager
async def assisted(setup: PeerSetup) -> AsyncGenerator[Peer]:
    """Load both models inside a `with`."""
    yield _Assisted(setup)


class _Assisted(Peer):
    def __init__(self, setup: PeerSetup) -> None:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        self.about = f"torch {torch.__version__}, {setup.target.weights}"
        self._target = _load(setup.target)
        self._draft = _load(setup.draft) if setup.draft else None

    async def run(self, load: Load) -> Outcome:
        return await asyncio.to_thread(self._run, load)

    def _run(self, load: Load) -> Outcome:
        rounds: list[int] = []

        def generate(question: Question, arrive: Callable[[int], None]) -> tuple[int, ...]:
            streamer = _Arrivals(arrive)
            torch.manual_seed(question.seed)
            ids = torch.tensor([question.prompt_ids])
            with torch.inference_mode():
                output = self._target.generate(
                    ids, attention_mask=torch.ones_like(ids), streamer=streamer, **self._options(load)
                )
            rounds.extend(streamer.num_tokens[1:])
            return tuple(output[0, len(question.prompt_ids) :].tolist())

        answers = answer_one_by_one(load, generate)
        if load.manner.kind != "fixed":
            return Outcome(answers)
        num_accepted = sum(number - 1 for number in rounds)
        return Outcome(answers, load.manner.num_draft_tokens * len(rounds), num_accepted)

    def _options(self, load: Load) -> dict[str, Any]:
        options: dict[str, Any] = {"max_new_tokens": load.max_tokens, "eos_token_id": list(load.eos_ids)}
        options |= {"pad_token_id": load.eos_ids[0], "do_sample": load.temperature > 0}
        if load.temperature:
            options |= {"temperature": load.temperature, "top_k": 0, "top_p": 1.0}
        if load.manner.kind == "fixed" and self._draft is not None:
            settings = self._draft.generation_config
            settings.num_assistant_tokens = load.manner.num_draft_tokens
            settings.num_assistant_tokens_schedule = "constant"
            settings.assistant_confidence_threshold = 0.0  # always K, as the others
            options["assistant_model"] = self._draft
        return options


class _Arrivals(BaseStreamer):
    """Tells when tokens come; the first that comes is the prompt."""

    def __init__(self, arrive: Callable[[int], None]) -> None:
        self._arrive = arrive
        self._has_prompt = False
        self.num_tokens: list[int] = []

    def put(self, value: torch.Tensor) -> None:
        if not self._has_prompt:
            self._has_prompt = True
            return
        self.num_tokens.append(value.numel())
        self._arrive(value.numel())

    def end(self) -> None:
        pass


def _load(model: Model) -> Any:
    loaded = AutoModelForCausalLM.from_pretrained(model.directory, dtype=DTYPES[model.weights]).eval()
    if model.weights == INT8:
        _quantise(loaded)
    return loaded


def _quantise(module: torch.nn.Module) -> None:
    for name, child in list(module.named_children()):
        if isinstance(child, torch.nn.Linear):
            setattr(module, name, _Int8Linear(child))
        else:
            _quantise(child)


class _Int8Linear(torch.nn.Module):
    """A linear layer with weights in int8, one scale a row; activations stay as they are."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        weight = layer.weight.detach().float()
        scales = weight.abs().amax(dim=1) / 127
        self.weight = torch.nn.Buffer((weight / scales[:, None]).round().to(torch.int8))
        self.scales = torch.nn.Buffer(scales.to(layer.weight.dtype))
        self.bias: torch.Tensor | None = layer.bias

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        rows = values.reshape(-1, values.shape[-1])
        product = INT8_MATMUL(rows, self.weight, self.scales)
        product = product.reshape(*values.shape[:-1], -1)
        return product if self.bias is None else product + self.bias
