"""A small target and a draft that is often right, so that a whole cluster fits on two cores."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.end_to_end.tiny_cluster import SHAPE
from tests.orchestrator.byte_tokenizer import byte_tokenizer
from tests.paceline.engine.tiny_models import random_weights, stored_weights, write_prepared

LONG_SHAPE = replace(SHAPE, max_context_tokens=1024)


def write_pair(directory: Path) -> tuple[Path, Path]:
    """Write the target and the draft under a directory and return theirs."""
    target = random_weights(LONG_SHAPE, seed=1)
    noise = (0.1 * random_weights(LONG_SHAPE, seed=2)["output"]).astype(np.float32)
    draft = target | {"output": target["output"] + noise}
    paths: list[Path] = []
    for name, weights in (("target", target), ("draft", draft)):
        byte_tokenizer().save(directory / name)
        paths.append(write_prepared(directory / name, LONG_SHAPE, stored_weights(weights, "f32"), "f32"))
    return paths[0], paths[1]
