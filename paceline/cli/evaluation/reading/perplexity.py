"""How well a model foresees text that it did not write."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.evaluation.reading.chats import encoded_prompts
from paceline.cli.evaluation.reading.prompt_spread import spread_prompts
from paceline.cli.evaluation.reading.texts import Ids
from paceline.cli.evaluation.reading.work_groups import ChosenReport, TextWork, run_texts
from paceline.engine.engine import Engine
from paceline.engine.work import Logits, TokenIds
from paceline.models.tokenizer import Tokenizer
from paceline.sampling.logprobs import token_logprobs

# Of all texts together, and of each at least if it has so many.
MAX_HELD_TOKENS = 384
MIN_TOKENS_OF_TEXT = 16


@dataclass(frozen=True)
class HeldText:
    """Texts of prompts as plain text, each from its beginning; at least two ids each."""

    texts: tuple[Ids, ...]

    @property
    def num_predicted(self) -> int:
        """Ids that are foreseen: all but the first of each text."""
        return sum(len(ids) - 1 for ids in self.texts)

    @property
    def description(self) -> str:
        """What it is, for a report."""
        return (
            f"Perplexity is that of {self.num_predicted} tokens of the texts of {len(self.texts)} prompts, read as "
            "plain text from their beginnings; it compares formats with each other and is no figure of a benchmark."
        )


def held_text(prompts: Sequence[BenchPrompt], tokenizer: Tokenizer) -> HeldText:
    """Return the same number of tokens of each prompt's text, as far as it has so many; of very many prompts some.

    Where no text has two, so that nothing could be foreseen, they are the prompts as chats.
    """
    chosen = spread_prompts(prompts, MAX_HELD_TOKENS // MIN_TOKENS_OF_TEXT)
    num_tokens = MAX_HELD_TOKENS // len(chosen)
    encoded = [tokenizer.encode(prompt.text, parse_special=False)[:num_tokens] for prompt in chosen]
    plain = tuple(tuple(ids) for ids in encoded if len(ids) > 1)
    return HeldText(plain or tuple(ids[:num_tokens] for ids in encoded_prompts(chosen, tokenizer)))


def perplexity_of(engine: Engine, held: HeldText, report: ChosenReport) -> float:
    """Return the exponential of the mean negative log-likelihood of an id."""
    listeners = [_Listener() for _ in held.texts]
    works = [
        TextWork(ids, len(ids), selector=listener)
        for ids, listener in zip(held.texts, listeners, strict=True)
    ]
    run_texts(engine, works, report)
    losses = [loss for listener in listeners for loss in listener.losses]
    return float(np.exp(np.mean(losses)))


class _Listener:
    """A selector that notes how unlikely each id of the text was, in nats."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def __call__(self, logits: Logits, positions: TokenIds, token_ids: Sequence[int]) -> TokenIds:
        for row, position in zip(logits, positions.tolist(), strict=True):
            if position < len(token_ids):
                self.losses.append(-token_logprobs(row, token_ids[position], 0).logprob)
        return logits.argmax(axis=1)
