"""How often a draft chooses the target's next token, for each way to hold and compute the draft.

The target answers all prompts, greedily; each candidate then reads these answers, and its highest logit at every
position is compared with the token that the target wrote there. Candidates are written as for benchmarks/weights.py.

    python -m benchmarks.draft_agreement --cores 0,1 \
        --candidates int4:f32:f32:32:exact,int4:f32:f32:128:exact,int4:f32:f32:128:fast
    python -m benchmarks.draft_agreement --prompts code,japanese --num-tokens 40 --candidates int8:f32:f32
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.weights import Candidate
from paceline.cli.benchmark.machine import this_machine, versions
from paceline.cli.benchmark.prompt_set import read_prompts
from paceline.engine.engine import Engine, EngineConfig
from paceline.engine.work import TokenIds, Work
from paceline.models.catalog import PAIRS, find_pair
from paceline.models.chat_message import ChatMessage
from paceline.models.prepare import prepare
from paceline.models.tokenizer import Tokenizer

KV_CACHE_BYTES = 1 << 30


@dataclass(frozen=True)
class Answer:
    """What the target wrote to one prompt."""

    kind: str
    prompt_ids: list[int]
    ids: TokenIds


def main() -> None:
    """Print a row for each candidate, a column for each kind of prompts."""
    arguments = _arguments()
    os.sched_setaffinity(0, arguments.cores)
    pair = find_pair(arguments.pair)
    answers = write_answers(pair.target.name, arguments)
    kinds = list(dict.fromkeys(answer.kind for answer in answers))
    print(f"command: python -m benchmarks.draft_agreement {' '.join(sys.argv[1:])}")
    print(f"machine: {this_machine()}\nversions: {versions()}")
    print(f"target: {pair.target.name} {arguments.target_weights}, draft: {pair.draft.name}")
    print(f"\n| candidate | {' | '.join(kinds)} | all |\n{'|---' * (len(kinds) + 2)}|")
    for text in arguments.candidates.split(","):
        agrees = read_answers(Candidate.parse(text, pair.draft.name), answers, len(arguments.cores))
        of_kind = [
            np.concatenate([one for one, answer in zip(agrees, answers, strict=True) if answer.kind == kind])
            for kind in kinds
        ]
        cells = [f"{one.mean():.4f}" for one in (*of_kind, np.concatenate(agrees))]
        print(f"| {text} | {' | '.join(cells)} |", flush=True)


def write_answers(target: str, arguments: argparse.Namespace) -> list[Answer]:
    """Let the target answer all prompts at once."""
    directory = prepare(target, arguments.target_weights)
    tokenizer = Tokenizer.load(directory)
    config = EngineConfig(directory, KV_CACHE_BYTES, len(arguments.cores), batch_invariant="off")
    prompts = [
        (prompt.kind, tokenizer.encode_chat([ChatMessage("user", prompt.text)]))
        for prompt in read_prompts(arguments.prompts)
    ]
    with Engine.load(config) as engine:
        handles = [
            engine.submit(
                Work(
                    engine.open_sequence(),
                    0,
                    np.array(ids),
                    num_selected=1,
                    num_drawn=arguments.num_tokens - 1,
                    stop_ids=frozenset(tokenizer.eos_ids),
                )
            )
            for _, ids in prompts
        ]
        results = [handle.future.result() for handle in handles]
    return [
        Answer(kind, ids, np.concatenate([result.selected_ids, result.drawn_ids]))
        for (kind, ids), result in zip(prompts, results, strict=True)
    ]


def read_answers(
    candidate: Candidate, answers: Sequence[Answer], num_threads: int
) -> list[np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Say for each id of each answer whether the candidate would have chosen it too."""
    agrees: list[np.ndarray[tuple[int], np.dtype[np.bool_]]] = []
    with candidate.load(num_threads) as engine:
        for answer in answers:
            sequence = engine.open_sequence()
            ids = np.array([*answer.prompt_ids, *answer.ids[:-1].tolist()])
            result = engine.submit(Work(sequence, 0, ids, num_selected=len(answer.ids))).future.result()
            agrees.append(result.selected_ids == answer.ids)
            engine.close_sequence(sequence)
    return agrees


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pair", default="reference", choices=sorted(PAIRS), help="a catalogued pair")
    parser.add_argument("--target-weights", default="int8")
    parser.add_argument("--candidates", required=True, help="ways to hold the draft, with commas")
    parser.add_argument(
        "--prompts", default="all", help="kinds with commas between them, all, or a .toml file"
    )
    parser.add_argument("--num-tokens", type=int, default=150, help="most tokens of an answer")
    parser.add_argument("--cores", type=lambda text: [int(core) for core in text.split(",")], default=[0])
    return parser.parse_args()


if __name__ == "__main__":
    main()
