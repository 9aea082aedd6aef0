"""The links that the suite breaks: open they carry, cut they break, frozen they keep what was sent for later."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.chaos.link import Link, LinkState


@asynccontextmanager
async def echo_link(directory: Path) -> AsyncIterator[Link]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_unix_server(echo, directory / "echo.sock")
    link = Link(str(directory / "echo.sock"))
    await link.listen()
    async with server:
        yield link


async def test_an_open_link_carries_both_ways_and_the_end(short_directory: Path):
    async with echo_link(short_directory) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"a" * 100_000)
        writer.write_eof()
        assert await reader.read(-1) == b"a" * 100_000
        writer.close()


async def test_a_partition_delivers_late_what_was_sent_during_it(short_directory: Path):
    async with echo_link(short_directory) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        link.change(LinkState.PARTITION)
        writer.write(b"one")
        another_reader, another_writer = await asyncio.open_connection("127.0.0.1", link.port)
        another_writer.write(b"two")
        answers = [asyncio.ensure_future(one.readexactly(3)) for one in (reader, another_reader)]
        done, _ = await asyncio.wait(answers, timeout=0.05)
        assert not done
        link.change(LinkState.OPEN)
        assert await asyncio.gather(*answers) == [b"one", b"two"]
        writer.close()
        another_writer.close()


async def test_a_reset_breaks_connections_and_refuses_new_ones(short_directory: Path):
    async with echo_link(short_directory) as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"one")
        assert await reader.readexactly(3) == b"one"
        link.change(LinkState.RESET)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        later_reader, later_writer = await asyncio.open_connection("127.0.0.1", link.port)
        with pytest.raises(ConnectionResetError):
            await later_reader.readexactly(1)
        link.change(LinkState.OPEN)
        again_reader, again_writer = await asyncio.open_connection("127.0.0.1", link.port)
        again_writer.write(b"two")
        assert await again_reader.readexactly(3) == b"two"
        for one in (writer, later_writer, again_writer):
            one.close()


async def test_a_slow_link_keeps_the_order(short_directory: Path):
    async with echo_link(short_directory) as link:
        link.change(LinkState.OPEN, 0.02)
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        for number in range(5):
            writer.write(str(number).encode())
            await asyncio.sleep(0)
        link.change(LinkState.OPEN)
        writer.write(b"5")
        assert await reader.readexactly(6) == b"012345"
        writer.close()


async def test_what_is_not_there_breaks_the_connection(short_directory: Path):
    link = Link(str(short_directory / "nobody.sock"))
    await link.listen()
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1)
    writer.close()
