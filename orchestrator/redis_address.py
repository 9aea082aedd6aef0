"""Where Redis is: one URL for a server, for Sentinels and for a cluster. docs/redis.md is for those who give it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from paceline.errors import ConfigError

_SERVER_PORT = 6379
_SENTINEL_PORT = 26379


class Topology(Enum):
    """What the nodes of an address are."""

    SERVER = "server"
    SOCKET = "socket"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class Node(NamedTuple):
    """One server's, Sentinel's or cluster node's address."""

    host: str
    port: int


@dataclass(frozen=True)
class RedisAddress:
    """A URL that has been read; what may hold a password is not shown.

    Attributes:
        topology: What the nodes are.
        nodes: At least one; one for a server, none for a socket file.
        path: The socket file; empty for the others.
        service_name: What the Sentinels call the servers; empty for the others.
        options: Arguments of redis-py's clients: who we are, TLS, the database.
        sentinel_options: The same for connections to Sentinels.
    """

    topology: Topology
    nodes: tuple[Node, ...]
    path: str
    service_name: str
    options: Mapping[str, Any] = field(repr=False)
    sentinel_options: Mapping[str, Any] = field(repr=False)


def read_redis_url(url: str) -> RedisAddress:
    """Return the address of a URL; raises ConfigError, which never shows the URL since it may hold a password."""
    parts = _split(url)
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None:
        _refuse(f"must begin with one of {', '.join(f'{name}://' for name in _SCHEMES)}")
    if parts.fragment:
        _refuse("must not have a #")
    user, _, hosts = parts.netloc.rpartition("@")
    parameters = _parameters(parts, scheme)
    tls = _tls(scheme, parameters)
    sentinel_options = {
        name.removeprefix("sentinel_"): parameters.pop(name) for name in _of_sentinels(parameters)
    }
    options = {**_credentials(user), **tls, **parameters}
    return _ADDRESS_READERS[scheme.topology](parts, hosts, options, {**tls, **sentinel_options})


def checked_redis_url(url: str) -> str:
    """Return a URL that `read_redis_url` can read; raises ConfigError."""
    read_redis_url(url)
    return url


class _Scheme(NamedTuple):
    topology: Topology
    is_tls: bool


_SCHEMES: Mapping[str, _Scheme] = {
    "redis": _Scheme(Topology.SERVER, is_tls=False),
    "rediss": _Scheme(Topology.SERVER, is_tls=True),
    "unix": _Scheme(Topology.SOCKET, is_tls=False),
    "redis+sentinel": _Scheme(Topology.SENTINEL, is_tls=False),
    "rediss+sentinel": _Scheme(Topology.SENTINEL, is_tls=True),
    "redis+cluster": _Scheme(Topology.CLUSTER, is_tls=False),
    "rediss+cluster": _Scheme(Topology.CLUSTER, is_tls=True),
}


def _split(url: str) -> SplitResult:
    """Split a URL whose authority may name several hosts; newer Pythons then take no brackets behind a comma."""
    begin, separator, behind = url.partition("//")
    authority = re.match(r"[^/?#]*", behind)
    assert authority is not None
    netloc = authority.group() if separator else ""
    if netloc.count("[") != netloc.count("]"):
        _refuse("is not a URL")
    try:
        return urlsplit(f"{begin}{separator}{behind[len(netloc) :]}")._replace(netloc=netloc)
    except ValueError:
        _refuse("is not a URL")


def _refuse(what: str) -> NoReturn:
    raise ConfigError(f"the Redis URL {what}; see docs/redis.md", setting="redis_url") from None


def _database(text: str) -> int:
    if not text.isdecimal():
        _refuse("needs a number for the database")
    return int(text)


def _readable_file(text: str) -> str:
    if not Path(text).is_file():
        _refuse(f"names the file {text}, which is not there")
    return text


def _switch(text: str) -> bool:
    if text not in {"true", "false"}:
        _refuse("needs true or false for ssl_check_hostname")
    return text == "true"


def _verification(text: str) -> str:
    if text not in {"none", "optional", "required"}:
        _refuse("needs none, optional or required for ssl_cert_reqs")
    return text


_PARAMETER_READERS: Mapping[str, Callable[[str], Any]] = {
    "db": _database,
    "client_name": str,
    "sentinel_username": str,
    "sentinel_password": str,
    "ssl_ca_certs": _readable_file,
    "ssl_certfile": _readable_file,
    "ssl_keyfile": _readable_file,
    "ssl_check_hostname": _switch,
    "ssl_cert_reqs": _verification,
}


def _parameters(parts: SplitResult, scheme: _Scheme) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        reader = _PARAMETER_READERS.get(name)
        if reader is None:
            # The name may be the end of a password with a ? in it.
            _refuse(f"has a parameter other than {', '.join(_PARAMETER_READERS)}")
        if name.startswith("ssl_") and not scheme.is_tls:
            _refuse(f"has {name}, which needs TLS: begin it with rediss")
        if name.startswith("sentinel_") and scheme.topology is not Topology.SENTINEL:
            _refuse(f"has {name} but no Sentinels")
        if name == "db" and scheme.topology is Topology.CLUSTER:
            _refuse("has db, but a cluster has one database only")
        parameters[name] = reader(text)
    return parameters


def _of_sentinels(parameters: Mapping[str, Any]) -> list[str]:
    return [name for name in parameters if name.startswith("sentinel_")]


def _tls(scheme: _Scheme, parameters: dict[str, Any]) -> dict[str, Any]:
    """Take the parameters of TLS out."""
    if not scheme.is_tls:
        return {}
    names = [name for name in parameters if name.startswith("ssl_")]
    return {"ssl": True, **{name: parameters.pop(name) for name in names}}


def _credentials(user: str) -> dict[str, str]:
    name, _, password = user.partition(":")
    given = {"username": unquote(name), "password": unquote(password)}
    return {key: text for key, text in given.items() if text}


def _nodes(hosts: str, default_port: int) -> tuple[Node, ...]:
    return tuple(_node(host, default_port) for host in hosts.split(","))


def _node(text: str, default_port: int) -> Node:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        _refuse(
            "has a malformed HOST:PORT; characters such as / ? # @ : in a password are written as %2F %3F %23 %40 %3A"
        )
    return Node(host, default_port if port is None else port)


Options = dict[str, Any]


def _server(parts: SplitResult, hosts: str, options: Options, sentinel_options: Options) -> RedisAddress:
    nodes = _nodes(hosts, _SERVER_PORT)
    if len(nodes) > 1:
        _refuse("names several hosts: begin it with redis+cluster or redis+sentinel")
    database = parts.path.strip("/")
    if database:
        options.setdefault("db", _database(database))
    return RedisAddress(Topology.SERVER, nodes, "", "", options, sentinel_options)


def _socket(parts: SplitResult, hosts: str, options: Options, sentinel_options: Options) -> RedisAddress:
    if hosts or not parts.path:
        _refuse("needs the path of a socket file: unix:///PATH")
    return RedisAddress(Topology.SOCKET, (), unquote(parts.path), "", options, sentinel_options)


def _sentinel(parts: SplitResult, hosts: str, options: Options, sentinel_options: Options) -> RedisAddress:
    service_name, _, database = parts.path.strip("/").partition("/")
    if not service_name:
        _refuse("needs the name that the Sentinels monitor: redis+sentinel://HOST:PORT,HOST:PORT/NAME")
    if database:
        options.setdefault("db", _database(database))
    nodes = _nodes(hosts, _SENTINEL_PORT)
    return RedisAddress(Topology.SENTINEL, nodes, "", unquote(service_name), options, sentinel_options)


def _cluster(parts: SplitResult, hosts: str, options: Options, sentinel_options: Options) -> RedisAddress:
    if parts.path.strip("/"):
        _refuse("has a path, but a cluster has one database only")
    return RedisAddress(Topology.CLUSTER, _nodes(hosts, _SERVER_PORT), "", "", options, sentinel_options)


_ADDRESS_READERS: Mapping[Topology, Callable[[SplitResult, str, Options, Options], RedisAddress]] = {
    Topology.SERVER: _server,
    Topology.SOCKET: _socket,
    Topology.SENTINEL: _sentinel,
    Topology.CLUSTER: _cluster,
}
