"""The `paceline` command as users run it: a process of its own."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

PROGRAM = (str(Path(sys.executable).with_name("paceline")),)


@dataclass(frozen=True)
class Ended:
    """What a command printed, and its exit code."""

    exit_code: int
    stdout: str
    stderr: str


_OF_OTHERS = ("PACELINE_ADDRESS", "COLUMNS", "LINES")


def environment(runtime: Path, **more: str) -> dict[str, str]:
    """Return an environment in which no other cluster is found, and no other terminal's size."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OF_OTHERS)}
    return {**kept, "PACELINE_RUNTIME_DIR": str(runtime), **more}


async def start(runtime: Path, *arguments: str, **more: str) -> asyncio.subprocess.Process:
    """Start the command."""
    return await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        env=environment(runtime, **more),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(runtime: Path, *arguments: str, stdin: bytes = b"", **more: str) -> Ended:
    """Run the command to its end."""
    process = await start(runtime, *arguments, **more)
    stdout, stderr = await process.communicate(stdin)
    assert process.returncode is not None
    return Ended(process.returncode, stdout.decode(), stderr.decode())
