"""`make chaos`: a cluster of real processes under faults; exit code 1 where anything was not as it should be."""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.run import OnProgress, RunSettings, run

LINE_WIDTH = 150


def main() -> int:
    arguments = parser().parse_args()
    directory = Path(tempfile.mkdtemp(prefix="paceline-chaos-"))
    settings = RunSettings(
        arguments.seed,
        arguments.faults,
        arguments.clients,
        arguments.jobs,
        60 * arguments.minutes_limit,
    )
    report = asyncio.run(run(settings, directory, progress()))
    print(json.dumps(report.as_json(), indent=2) if arguments.json else "\n".join(report.lines()))
    if report.wrong:
        print(f"logs: {directory}", file=sys.stderr)
        return 1
    shutil.rmtree(directory)
    return 0


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    options.add_argument("--faults", type=int, default=300, help="how many faults (300)")
    options.add_argument("--clients", type=int, default=16, help="how many clients at once (16)")
    options.add_argument("--jobs", type=int, default=40, help="how many different requests (40)")
    options.add_argument("--seed", type=int, default=1, help="names the faults and the requests (1)")
    options.add_argument("--minutes-limit", type=float, default=60.0, help="inject no longer than that (60)")
    options.add_argument("--json", action="store_true", help="print the report as JSON")
    return options


def progress() -> OnProgress:
    """One line on a terminal that is written over, a line for each step elsewhere."""
    started_at = time.monotonic()
    is_terminal = sys.stderr.isatty()

    def show(line: str) -> None:
        text = f"{time.monotonic() - started_at:6.1f} s  {line}"
        if is_terminal:
            print(f"\r\x1b[K{text[:LINE_WIDTH]}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    return show


if __name__ == "__main__":
    sys.exit(main())
