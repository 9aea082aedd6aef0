"""How well a model foresees text."""

from pathlib import Path

import numpy as np
import pytest

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.evaluation.reading.perplexity import MAX_HELD_TOKENS, HeldText, held_text, perplexity_of
from paceline.engine.engine import Engine, EngineConfig
from tests.end_to_end.tiny_cluster import Contexts
from tests.orchestrator.byte_tokenizer import byte_tokenizer


def test_it_is_the_mean_surprise_at_all_ids_but_the_first_of_each_text(
    random_models: dict[str, Path],
) -> None:
    texts = ((10, 20, 30, 40), (7, 7))
    contexts = Contexts(random_models["target"])
    surprises: list[float] = []
    for text in texts:
        for place in range(1, len(text)):
            row = contexts.logits(text[:place]).astype(np.float64)
            surprises.append(float(np.log(np.exp(row).sum()) - row[text[place]]))
    contexts.close()
    with Engine.load(EngineConfig(random_models["target"], 1 << 20, 1, batch_invariant="off")) as engine:
        found = perplexity_of(engine, HeldText(texts), lambda _done, _total: None)
    assert found == pytest.approx(np.exp(np.mean(surprises)), rel=1e-4)


def test_each_prompt_s_text_has_its_share() -> None:
    prompts = [BenchPrompt("code", "long", "a" * 1000), BenchPrompt("chat", "short", "b")]
    prompts += [BenchPrompt("prose", str(number), "c" * 1000) for number in range(6)]
    held = held_text(prompts, byte_tokenizer())
    assert [len(ids) for ids in held.texts] == [MAX_HELD_TOKENS // 8] * 7  # a single id foresees nothing
    assert held.num_predicted == 7 * (MAX_HELD_TOKENS // 8 - 1)
    assert "7 prompts" in held.description
