"""Which names may call, and which addresses stay on this machine."""

import pytest

from paceline.security.loopback import is_loopback
from paceline.security.peer_names import checked_pattern, is_allowed


@pytest.mark.parametrize(
    ("names", "patterns", "expected"),
    [
        (["a.svc"], [], True),
        ([], [], True),
        ([], ["a.svc"], False),
        (["a.svc"], ["a.svc"], True),
        (["A.Svc"], ["a.sVC"], True),
        (["b.svc", "a.svc"], ["a.svc"], True),
        (["b.svc"], ["a.svc", "*.pod"], False),
        (["a.svc"], ["*.svc"], True),
        (["svc"], ["*.svc"], False),
        (["a.b.svc"], ["*.svc"], False),
        (["a.svc.example"], ["a.svc"], False),
        (["spiffe://cluster/ns/x"], ["spiffe://cluster/ns/x"], True),
        (["spiffe://cluster/ns/X"], ["spiffe://cluster/ns/x"], False),
        (["spiffe://a.svc"], ["*.svc"], False),
    ],
)
def test_a_name_is_allowed_if_a_pattern_means_it(
    names: list[str], patterns: list[str], expected: bool
) -> None:
    assert is_allowed(names, patterns) is expected


@pytest.mark.parametrize("pattern", ["*", "*.", "a*.svc", "a.*.svc", "*.*.svc", ""])
def test_a_pattern_stands_for_one_label_in_front(pattern: str) -> None:
    with pytest.raises(ValueError, match="neither a whole name"):
        checked_pattern(pattern)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:7000", True),
        ("127.1.2.3:7000", True),
        ("[::1]:7000", True),
        ("localhost:7000", True),
        ("unix:/run/x.sock", True),
        ("0.0.0.0:7000", False),
        ("[::]:7000", False),
        ("192.0.2.1:7000", False),
        ("localhost.example:7000", False),
        ("orchestrator:7000", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected
