"""A real network of namespaces, as far as this machine lets us make one."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.network.namespaces import refusal
from benchmarks.network.probe import checksum, echo_request

ROOT = Path(__file__).resolve().parents[3]
PROBE = """
import asyncio
from benchmarks.network.emulation import emulation
from benchmarks.peers.exchange import RoundTrips
async def main():
    async with emulation() as network:
        for target_ms, draft_ms in ((40, 0), (0, 60)):
            measured = await network.set_round_trips(RoundTrips(target_ms, draft_ms))
            print(measured.target_ms, measured.draft_ms)
asyncio.run(main())
"""


async def test_a_probe_measures_the_distances_that_were_asked_for() -> None:
    if (why := refusal()) is not None:
        pytest.skip(why)
    command = ("unshare", "--net", sys.executable, "-c", PROBE)
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    first, second = ([float(number) for number in line.split()] for line in output.decode().splitlines())
    # Lower bounds only: nothing arrives too early, however busy the machine is.
    assert first[0] >= 40
    assert second[1] >= 60


def test_an_echo_request_with_its_checksum_sums_up_to_nothing() -> None:
    assert checksum(echo_request(identifier=77, sequence=3)) == 0
