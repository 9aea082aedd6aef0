"""The text of a run on disk."""

from pathlib import Path

import numpy as np
import pytest

from paceline.distillation.corpus import Corpus
from paceline.distillation.document import Document, prompt_key
from tests.paceline.distillation.small_target import documents


def same(one: Document, other: Document) -> bool:
    arrays = ("token_ids", "label_ids", "label_logprobs")
    facts = ("num_prompt_tokens", "temperature", "is_question", "prompt_key")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays) and all(
        getattr(one, name) == getattr(other, name) for name in facts
    )


@pytest.mark.parametrize("vocabulary_size", [65_536, 65_537])
def test_what_is_appended_comes_back_and_what_was_there_stays(tmp_path: Path, vocabulary_size: int) -> None:
    first, second = documents([4, 9]), documents([7], seed=1)
    writer = Corpus(tmp_path, vocabulary_size)
    reader = Corpus(tmp_path, vocabulary_size)
    writer.append(first)
    [shard] = tmp_path.iterdir()
    content = shard.read_bytes()
    writer.append(second)
    reader.refresh()
    assert shard.read_bytes() == content
    assert reader.num_shards == 2
    assert reader.num_written_tokens == sum(one.num_written for one in first + second)
    assert all(map(same, reader.training_documents(2), first + second))


def test_a_shard_that_is_being_written_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "000000.part").write_bytes(b"half")
    assert Corpus(tmp_path, 256).num_shards == 0


def test_all_that_was_written_about_a_held_out_prompt_is_held_out(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path, 256)
    corpus.append(documents([4] * 320))
    held_out = {one.prompt_key for one in corpus.held_out_documents()}
    trained = {one.prompt_key for one in corpus.training_documents(1)}
    assert held_out == set(range(32, 321, 32))
    assert not held_out & trained
    assert prompt_key("What is a tide?") == prompt_key("What is a tide?") != prompt_key("what is a tide?")
