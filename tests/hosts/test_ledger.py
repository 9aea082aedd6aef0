"""Lines of MONITOR, as a Valkey writes them."""

from tests.hosts.ledger import Ledger, StoreCall

HOSTS = {"192.0.2.7": "orchestrator-0", "192.0.2.8": "orchestrator-1"}
STATE, IDS = '"p:{a}:state"', '"p:{a}:ids"'


def ledger_with(*lines: str) -> list[StoreCall]:
    ledger = Ledger(HOSTS)
    for line in lines:
        ledger.take(f"+1795875565.995803 [0 {line}\r\n".encode())
    return ledger.calls


def test_a_commit_that_was_applied_has_its_ids_and_epoch() -> None:
    calls = ledger_with(
        rf'192.0.2.7:4711] "EVALSHA" "sha" "2" {STATE} {IDS} "commit" "3" "7" "\x01\x00\x00\x00\"\x00\x00\x00"',
        rf'lua] "HMGET" {STATE} "epoch" "position" "status"',
        rf'lua] "STRLEN" {IDS}',
        rf'lua] "APPEND" {IDS} "\x01\x00\x00\x00\"\x00\x00\x00"',
        rf'lua] "HSET" {STATE} "epoch" "3" "position" "9" "status" "running"',
    )
    assert calls == [StoreCall("orchestrator-0", "a", "commit", 3, (1, 34))]


def test_a_commit_that_was_refused_has_written_nothing() -> None:
    calls = ledger_with(
        rf'192.0.2.7:4711] "EVALSHA" "sha" "2" {STATE} {IDS} "commit" "3" "7" "\x01\x00\x00\x00" "digest"',
        rf'lua] "HMGET" {STATE} "epoch" "position" "status"',
        rf'192.0.2.8:9] "EVALSHA" "sha" "2" {STATE} {IDS} "renew" "4" "600" "2000"',
        rf'lua] "HSET" {STATE} "lease_deadline_ms" "17"',
    )
    assert calls == [
        StoreCall("orchestrator-0", "a", "commit"),
        StoreCall("orchestrator-1", "a", "renew"),
    ]


def test_calls_that_came_together_are_told_apart_by_their_sessions() -> None:
    calls = ledger_with(
        rf'192.0.2.8:1] "EVALSHA" "sha" "4" {STATE} {IDS} "p:{{b}}:state" "p:{{b}}:ids" "batch" '
        r'"2" "commit" "3" "x" "3" "finish" "9" "suspended" "600"',
        r'lua] "HSET" "p:{b}:state" "epoch" "9" "position" "4"',
    )
    assert calls == [
        StoreCall("orchestrator-1", "a", "commit"),
        StoreCall("orchestrator-1", "b", "finish", 9),
    ]


def test_whoever_is_no_host_is_named_as_monitor_does() -> None:
    calls = ledger_with(rf'unix:/redis.sock] "EVALSHA" "sha" "2" {STATE} {IDS} "overview"')
    assert calls == [StoreCall("unix:/redis.sock", "a", "overview")]
