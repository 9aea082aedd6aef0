"""All links of a cluster and the lying draft, in a process of their own: `python -m tests.chaos.network_process`.

The first line of its input is an object of link name to socket path; it prints one of link name to port, with the lying
draft as `liar`. Every further line changes one link or the liar and is answered with a line.
"""

import asyncio
import json
import sys
from typing import Any

import grpc.aio

from paceline.v1 import draft_service_pb2_grpc
from tests.chaos.link import Link, LinkState
from tests.chaos.lying_draft import LyingDraft

LIAR = "liar"


async def serve() -> None:
    """Carry until the input ends."""
    commands = await standard_input()
    links = {name: Link(path) for name, path in json.loads(await commands.readline()).items()}
    for link in links.values():
        await link.listen()
    liar, server = LyingDraft(), grpc.aio.server()
    draft_service_pb2_grpc.add_DraftServiceServicer_to_server(liar, server)
    ports = {name: link.port for name, link in links.items()}
    ports[LIAR] = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    answer(ports)
    while line := await commands.readline():
        command: dict[str, Any] = json.loads(line)
        if command["name"] == LIAR:
            (liar.begin if command["lies"] else liar.end)()
        else:
            links[command["name"]].change(LinkState(command["state"]), command["delay_seconds"])
        answer({})
    await server.stop(None)


async def standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


def answer(fields: dict[str, int]) -> None:
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    asyncio.run(serve())
