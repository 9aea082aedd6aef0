"""Addresses of a local cluster: the wanted one, or another where somebody else has that."""

import socket

import pytest

from paceline.errors import ConfigError
from paceline.local.errors import AddressInUseError
from paceline.local.listen_address import free_address, require_free


def test_an_address_that_is_taken_is_exchanged_or_refused_by_the_name_of_its_option() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        other = free_address(address)
        assert other != address
        assert other.startswith("127.0.0.1:")
        with pytest.raises(AddressInUseError, match="choose --http-listen"):
            require_free(address, "--http-listen")
    assert free_address(other) == other


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="--http-listen") as caught:
        require_free("8000", "--http-listen")
    assert caught.value.facts["setting"] == "http_listen"
