"""A shard: some documents in one file, which gets its name when it is complete and never changes afterwards."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from paceline.distillation.document import Document

# The narrowest that holds every id.
_NARROW, _WIDE = np.uint16, np.uint32


def write_shard(path: Path, documents: Sequence[Document], vocabulary_size: int) -> None:
    """Write documents; ids take two bytes where the vocabulary allows it."""
    id_type = _NARROW if vocabulary_size <= np.iinfo(_NARROW).max + 1 else _WIDE
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.savez(
            file,
            token_ids=np.concatenate([one.token_ids for one in documents]).astype(id_type),
            label_ids=np.concatenate([one.label_ids for one in documents]).astype(id_type),
            label_logprobs=np.concatenate([one.label_logprobs for one in documents]),
            num_tokens=np.array([len(one.token_ids) for one in documents], np.int64),
            num_prompt_tokens=np.array([one.num_prompt_tokens for one in documents], np.int64),
            temperatures=np.array([one.temperature for one in documents], np.float32),
            is_question=np.array([one.is_question for one in documents], np.bool_),
            prompt_keys=np.array([one.prompt_key for one in documents], np.uint64),
        )
    unfinished.replace(path)


def read_shard(path: Path) -> list[Document]:
    """Read what `write_shard` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        parts = {name: arrays[name] for name in arrays.files}
    ends = np.cumsum(parts["num_tokens"])
    label_ends = np.cumsum(parts["num_tokens"] - parts["num_prompt_tokens"])
    return [
        Document(
            token_ids=parts["token_ids"][end - num_tokens : end],
            num_prompt_tokens=num_prompt_tokens,
            label_ids=parts["label_ids"][label_end - num_tokens + num_prompt_tokens : label_end],
            label_logprobs=parts["label_logprobs"][label_end - num_tokens + num_prompt_tokens : label_end],
            temperature=temperature,
            is_question=is_question,
            prompt_key=key,
        )
        for end, label_end, num_tokens, num_prompt_tokens, temperature, is_question, key in zip(
            ends.tolist(),
            label_ends.tolist(),
            parts["num_tokens"].tolist(),
            parts["num_prompt_tokens"].tolist(),
            parts["temperatures"].tolist(),
            parts["is_question"].tolist(),
            parts["prompt_keys"].tolist(),
            strict=True,
        )
    ]
