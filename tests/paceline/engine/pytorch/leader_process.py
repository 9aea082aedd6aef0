"""A process that has a model's other slice loaded, says which process holds it, and then waits to be killed.

It holds no slice of its own, and so imports no transformers: half of the time that a test of its end takes.
"""

import json
import sys
from pathlib import Path

import torch

from paceline.engine.config import EngineConfig
from paceline.engine.pytorch.followers import Followers

if __name__ == "__main__":
    directory = Path(sys.argv[1])
    followers = Followers(
        EngineConfig(directory, 4 << 20, num_threads=2, engine="torch", tensor_parallel=2),
        torch.device("cpu"),
    )
    followers.beside(followers.meet)
    followers.num_blocks()
    print(json.dumps(followers.pids), flush=True)
    sys.stdin.read()
