"""`paceline keys`: keys that nobody can guess, and digests that openssl makes too."""

import asyncio
import hashlib
import json
from pathlib import Path

from tests.paceline.cli.command import run


def digest_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


async def test_a_new_key_comes_with_its_digest(tmp_path: Path) -> None:
    shown, as_json = await asyncio.gather(
        run(tmp_path, "keys", "new"), run(tmp_path, "keys", "new", "--json")
    )
    lines = dict(line.split(": ") for line in shown.stdout.splitlines())
    made = json.loads(as_json.stdout)
    assert lines["sha256"].strip() == digest_of(lines["api_key"])
    assert made["sha256"] == digest_of(made["api_key"])
    assert made["api_key"] != lines["api_key"]
    assert (made["api_key"][:3], len(made["api_key"])) == ("pl_", 46)


async def test_a_digest_is_that_of_the_line_that_comes_in(tmp_path: Path) -> None:
    ended, nothing = await asyncio.gather(
        run(tmp_path, "keys", "digest", stdin=b"abc\n"), run(tmp_path, "keys", "digest")
    )
    assert ended.stdout == f"{digest_of('abc')}\n"
    assert (nothing.exit_code, nothing.stdout) == (2, "")
    assert "no key came" in nothing.stderr
