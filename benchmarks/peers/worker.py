"""The process of a peer: connects to the suite's socket, loads, says so, and answers until the suite hangs up.

Started by `benchmarks.peers.process`: `python -m benchmarks.peers.worker SOCKET SETUP`.
"""

import asyncio
import sys
from contextlib import AbstractAsyncContextManager
from importlib import import_module

from benchmarks.peers.exchange import Failure, Load, Outcome, Ready, RoundTrips, read_order, write_envelope
from benchmarks.peers.peer import Peer
from benchmarks.peers.setup import PeerSetup, read_setup
from paceline.errors import PacelineError

# Imported when wanted: each of them brings packages that the others do without.
FACTORIES = {"ours": ("ours", "ours"), "genai": ("genai", "genai"), "transformers": ("assisted", "assisted")}
MAX_LINE_BYTES = 1 << 26


def open_peer(setup: PeerSetup) -> AbstractAsyncContextManager[Peer]:
    """Return the context in which a peer lives."""
    module, function = FACTORIES[setup.peer]
    return getattr(import_module(f"benchmarks.peers.{module}"), function)(setup)


async def serve(socket_path: str, setup: PeerSetup) -> None:
    """Answer the suite's orders; returns when it hangs up."""
    reader, writer = await asyncio.open_unix_connection(socket_path, limit=MAX_LINE_BYTES)
    try:
        async with open_peer(setup) as peer:
            writer.write(write_envelope(Ready(peer.pids, peer.about)))
            await _answer_orders(peer, reader, writer)
    except (PacelineError, ImportError, RuntimeError, OSError) as error:
        writer.write(write_envelope(Failure(f"{type(error).__name__}: {error}")))
        raise
    finally:
        writer.close()


async def _answer_orders(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one order after the other; one that is being worked on when the suite hangs up is dropped."""
    following = asyncio.ensure_future(reader.readline())
    while line := await following:
        following = asyncio.ensure_future(reader.readline())
        working = asyncio.ensure_future(_answer(peer, read_order(line)))
        await asyncio.wait((working, following), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            return
        writer.write(write_envelope(working.result()))
        await writer.drain()


async def _answer(peer: Peer, order: Load | RoundTrips) -> Outcome | RoundTrips:
    return await (peer.run(order) if isinstance(order, Load) else peer.set_round_trips(order))


def main() -> None:
    socket_path, setup = sys.argv[1:]
    asyncio.run(serve(socket_path, read_setup(setup)))


if __name__ == "__main__":
    main()
