"""One process of several that hold a slice of each model: the first saves its share, and the logits that all computed.

torchrun starts it with the models' directories; what it saves lies in them.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from paceline.engine.pytorch.loading import LoadOptions, load_torch_model
from tests.paceline.engine.reference import reference_logits

IDS = list(range(40))
LOGITS_FILE, SHARE_FILE = "logits.npy", "share.json"


def save_share(directory: Path) -> None:
    options = LoadOptions(torch.device("cpu"), torch.float32, "f16", tensor_parallel=True)
    loaded = load_torch_model(directory, options)
    # transformers' own attention: ours needs a cache.
    loaded.model.set_attn_implementation("eager")
    logits = reference_logits(loaded.model, IDS)
    if torch.distributed.get_rank() == 0:
        np.save(directory / LOGITS_FILE, logits)
        num_numbers = sum(one.numel() for one in loaded.model.parameters())
        share = (loaded.shape.num_heads, loaded.shape.num_kv_heads, num_numbers)
        (directory / SHARE_FILE).write_text(json.dumps(share), encoding="utf-8")


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        save_share(Path(argument))
    torch.distributed.destroy_process_group()
