"""Rows of logits with the shapes that matter: as a model gives them, flat, peaked, tied."""

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]  # [num_rows, vocab_size]

SHAPES = ("model", "flat", "peaked", "tied", "wide")


def rows_of(shape: str, num_rows: int, vocabulary_size: int, seed: int = 0) -> Rows:
    """`model` has a few hundred likely tokens and a body 20 below, as rows of SmolLM2 and Qwen do."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(0.0, 2.5, (num_rows, vocabulary_size))
    match shape:
        case "model":
            likely = generator.permuted(np.tile(np.arange(vocabulary_size), (num_rows, 1)), axis=1)
            num_likely = min(300, vocabulary_size)
            heights = 20.0 - 2.5 * np.log1p(np.arange(num_likely)) + generator.normal(0, 1, num_likely)
            np.put_along_axis(
                rows, likely[:, :num_likely], np.broadcast_to(heights, (num_rows, num_likely)), 1
            )
        case "flat":
            rows *= 0.01
        case "peaked":
            rows[np.arange(num_rows), generator.integers(0, vocabulary_size, num_rows)] = 60.0
        case "tied":  # bf16 logits have many equals
            rows = np.round(rows * 2) / 2
        case _:
            rows *= 8.0
    return rows.astype(np.float32)
