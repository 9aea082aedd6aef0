"""Every form of a Redis URL, and that a malformed one is refused without showing its password."""

import pytest

from orchestrator.redis_address import Node, RedisAddress, Topology, read_redis_url
from paceline.errors import ConfigError


def test_a_server_has_a_host_a_port_and_a_database():
    address = read_redis_url("redis://redis.example:6380/3")
    assert (address.topology, address.nodes) == (Topology.SERVER, (Node("redis.example", 6380),))
    assert address.options == {"db": 3}
    assert read_redis_url("redis://[::1]").nodes == (Node("::1", 6379),)


@pytest.mark.parametrize("url", ["redis://ann:p%40ss%2Fw@host", "redis://ann:p@ss%2Fw@host"])
def test_a_user_and_a_password_are_decoded(url):
    assert read_redis_url(url).options == {"username": "ann", "password": "p@ss/w"}


def test_a_password_alone_is_the_default_users():
    assert read_redis_url("redis://:secret@host").options == {"password": "secret"}


def test_a_socket_file_has_a_path():
    address = read_redis_url("unix://:secret@/run/redis.sock?db=1")
    assert (address.topology, address.path) == (Topology.SOCKET, "/run/redis.sock")
    assert address.options == {"password": "secret", "db": 1}


def test_sentinels_have_a_service_name_and_a_login_of_their_own():
    url = "redis+sentinel://:secret@a:1,b/sessions/2?sentinel_username=watch&sentinel_password=other"
    address = read_redis_url(url)
    assert (address.topology, address.service_name) == (Topology.SENTINEL, "sessions")
    assert address.nodes == (Node("a", 1), Node("b", 26379))
    assert address.options == {"password": "secret", "db": 2}
    assert address.sentinel_options == {"username": "watch", "password": "other"}


def test_a_cluster_has_several_nodes():
    address = read_redis_url("redis+cluster://ann:secret@a:1,[::1]:2,c")
    assert (address.topology, address.nodes) == (
        Topology.CLUSTER,
        (Node("a", 1), Node("::1", 2), Node("c", 6379)),
    )
    assert address.options == {"username": "ann", "password": "secret"}


@pytest.mark.parametrize("url", ["rediss://host", "rediss+cluster://host", "rediss+sentinel://host/sessions"])
def test_tls_takes_certificates_from_files(url, tmp_path):
    (tmp_path / "ca.pem").touch()
    address = read_redis_url(f"{url}?ssl_ca_certs={tmp_path}/ca.pem&ssl_check_hostname=false")
    tls = {"ssl": True, "ssl_ca_certs": f"{tmp_path}/ca.pem", "ssl_check_hostname": False}
    assert address.options == tls
    assert address.sentinel_options == tls


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("host:6379", "begin with"),
        ("http://host", "begin with"),
        ("redis://", "HOST:PORT"),
        ("redis://host:port", "HOST:PORT"),
        ("redis://host:70000", "HOST:PORT"),
        ("redis://[::1", "not a URL"),
        ("redis://a,b", "several hosts"),
        ("redis://host/name", "database"),
        ("redis://host?db=x", "database"),
        ("redis://host?colour=red", "parameter"),
        ("redis://host?ssl_ca_certs=x", "rediss"),
        ("redis://host#1", "#"),
        ("redis://host?sentinel_password=x", "no Sentinels"),
        ("rediss://host?ssl_ca_certs=/nowhere", "/nowhere"),
        ("rediss://host?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("rediss://host?ssl_check_hostname=maybe", "ssl_check_hostname"),
        ("unix://", "socket file"),
        ("redis+sentinel://host", "name"),
        ("redis+cluster://host/1", "one database"),
        ("redis+cluster://host?db=1", "one database"),
    ],
)
def test_a_malformed_url_says_what_is_missing(url, hint):
    with pytest.raises(ConfigError, match=hint) as caught:
        read_redis_url(url)
    assert caught.value.facts == {"setting": "redis_url"}


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hush/hush@host",
        "redis://:hush?hush@host",
        "redis://:hush#hush@host",
        "redis://:hush@host:port",
        "redis://:hush[@host",
        "redis://:hush@host?sentinel_password=hush",
        "hush://:hush@host",
    ],
)
def test_a_refused_password_is_not_shown(url):
    with pytest.raises(ConfigError) as caught:
        read_redis_url(url)
    assert "hush" not in f"{caught.value} {caught.value.facts} {caught.value.__cause__}"
    assert caught.value.__suppress_context__


def test_an_address_shows_no_password():
    url = "redis+sentinel://:hush@a/sessions?sentinel_password=hush"
    assert "hush" not in repr(read_redis_url(url))
    assert isinstance(read_redis_url(url), RedisAddress)
