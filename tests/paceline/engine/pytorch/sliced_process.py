"""One process of several that hold a slice of each model: the first saves its share, and the logits that all computed.

It is started with its number, how many there are, the port of the meeting place, and the models' directories; what it
saves lies in them.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from paceline.engine.pytorch.loading import LoadOptions, load_torch_model
from paceline.engine.pytorch.placement import Slices
from paceline.engine.pytorch.rank import Rank, find_meeting_place, join, leave
from tests.paceline.engine.reference import reference_logits

IDS = list(range(40))
LOGITS_FILE, SHARE_FILE = "logits.npy", "share.json"


CPU = torch.device("cpu")


def save_share(directory: Path, slices: Slices) -> None:
    options = LoadOptions(CPU, torch.float32, "f16", slices)
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
    number, num_ranks, port = map(int, sys.argv[1:4])
    torch.set_num_threads(1)
    own = Rank(number, num_ranks)
    mesh = join(own, CPU, find_meeting_place(port, num_ranks))
    for argument in sys.argv[4:]:
        # Sums in order are taken where they make a difference, from three processes on.
        save_share(Path(argument), Slices(mesh, in_order=True))
    leave()
