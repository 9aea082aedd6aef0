"""What a predicted output brings: edits of this repository's own files, whose old version predicts the new one.

    python -m benchmarks.prediction
    python -m benchmarks.prediction --edits 100 --until HEAD

No model runs: the output is known, so that a round's proposal is compared with what comes next, and a round brings what
was right of it and one token more. Nothing else drafts. The same outputs behind the old version of another file say
what a prediction costs that is wrong. Needs a prepared model for its vocabulary.
"""

import argparse
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from orchestrator import prediction
from orchestrator.prediction import Prediction
from paceline.cli.benchmark.machine import versions
from paceline.models.prepared import NotPreparedError, find_prepared
from paceline.models.tokenizer import Tokenizer

MATCH_LENGTHS = (1, 2, 3, 4, 6, 8)
# Shorter files say little, longer ones are few.
_MIN_BYTES, _MAX_BYTES = 1_000, 20_000
_UNTIL = "00acdf7575a1c8165fde037f6dab31cf81ba532f"


class Edit(NamedTuple):
    """A file before and after a commit, as token ids."""

    before: list[int]
    after: list[int]


class Outcome(NamedTuple):
    """What the rounds of outputs came to."""

    num_rounds: int = 0
    num_matched_rounds: int = 0
    num_tokens: int = 0
    num_proposed: int = 0
    num_accepted: int = 0

    def plus(self, other: "Outcome") -> "Outcome":
        """Return both together."""
        return Outcome(*(one + more for one, more in zip(self, other, strict=True)))


def git(*arguments: str) -> str:
    """Return what git says."""
    return subprocess.run(("git", *arguments), capture_output=True, text=True, check=True).stdout


def changed_files(until: str) -> Iterator[tuple[str, str]]:
    """Yield the texts of Python files before and after each commit that changed them, the latest commit first."""
    for commit in git("rev-list", "--no-merges", until).split():
        names = git("diff-tree", "--no-commit-id", "--name-only", "--diff-filter=M", "-r", commit).split("\n")
        for name in names:
            if name.endswith(".py") and "/v1/" not in name:
                before, after = (git("show", f"{one}:{name}") for one in (f"{commit}^", commit))
                if all(_MIN_BYTES <= len(text.encode()) <= _MAX_BYTES for text in (before, after)):
                    yield before, after


def rounds_of(predicted: Sequence[int], output: Sequence[int], num_draft_tokens: int) -> Outcome:
    """Return what an output comes to behind a prediction."""
    found, place, looked_in = Outcome(), 0, Prediction(predicted)
    while place < len(output):
        proposed = looked_in.propose(output[:place], 0, num_draft_tokens)
        coming = output[place : place + len(proposed)]
        pairs = enumerate(zip(proposed, coming, strict=False))
        num_accepted = next((number for number, (one, other) in pairs if one != other), len(coming))
        num_tokens = min(num_accepted + 1, len(output) - place)
        found = found.plus(Outcome(1, bool(proposed), num_tokens, len(proposed), num_accepted))
        place += num_tokens
    return found


def all_rounds(edits: Sequence[Edit], num_draft_tokens: int, shift: int = 0) -> Outcome:
    """Return what all outputs come to, each behind the old version of the file so many places further."""
    found = Outcome()
    for number, edit in enumerate(edits):
        predicted = edits[(number + shift) % len(edits)].before
        found = found.plus(rounds_of(predicted, edit.after, num_draft_tokens))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="qwen2.5-coder-1.5b-instruct", help="whose vocabulary it is")
    parser.add_argument("--weights", default="int8", help="as which it is prepared")
    parser.add_argument("--edits", type=int, default=60)
    parser.add_argument("--num-draft-tokens", type=int, default=8)
    parser.add_argument("--until", default=_UNTIL, help="the latest commit whose edits count")
    options = parser.parse_args()
    try:
        tokenizer = Tokenizer.load(find_prepared(options.model, options.weights))
    except NotPreparedError as error:
        sys.exit(f"error: {error}")
    edits = [
        Edit(*(tokenizer.encode(text, parse_special=False) for text in texts))
        for texts in islice(changed_files(options.until), options.edits)
    ]
    random.Random(0).shuffle(edits)  # so that the next one is of another commit
    print(f"command: python -m benchmarks.prediction {' '.join(sys.argv[1:])}; {versions()}")
    print(f"{len(edits)} edits, {sum(len(one.after) for one in edits)} tokens; until {options.until[:12]}")
    print(
        "match  tokens a round  accepted | something else predicted: rounds with a match, rows a round wasted"
    )
    for length in MATCH_LENGTHS:
        prediction.MATCH_LENGTH = length
        right = all_rounds(edits, options.num_draft_tokens)
        wrong = all_rounds(edits, options.num_draft_tokens, shift=len(edits) // 2)
        wasted = (wrong.num_proposed - wrong.num_accepted) / wrong.num_rounds
        print(
            f"{length:5}  {right.num_tokens / right.num_rounds:14.2f}"
            f"  {right.num_accepted / right.num_proposed:8.0%} | "
            f"{wrong.num_matched_rounds / wrong.num_rounds:47.0%}, {wasted:20.2f}"
        )


if __name__ == "__main__":
    main()
