"""A breaker cools down for longer each time, lets one caller try, and closes with a success."""

from orchestrator.circuit_breaker import CircuitBreaker


def test_a_cool_down_doubles_up_to_its_limit():
    breaker = CircuitBreaker(1.0, 3.0)
    now, cool_downs = 0.0, []
    for _ in range(4):
        breaker.fail(now)
        began_at = now
        while breaker.is_open(now):
            now += 0.25
        cool_downs.append(now - began_at)
        breaker.begin(now)
    assert cool_downs == [1.0, 2.0, 3.0, 3.0]


def test_after_the_cool_down_one_caller_tries_and_the_others_wait():
    breaker = CircuitBreaker(1.0, 8.0)
    breaker.fail(0.0)
    assert not breaker.is_open(1.0)
    breaker.begin(1.0)
    assert breaker.is_open(1.0)
    breaker.succeed()
    assert not breaker.is_open(1.0)
    breaker.begin(1.0)
    assert not breaker.is_open(1.0), "a closed breaker lets all pass"


def test_a_trial_that_nobody_reports_on_makes_room_for_the_next_one():
    breaker = CircuitBreaker(1.0, 8.0)
    breaker.fail(0.0)
    breaker.begin(1.0)
    assert breaker.is_open(1.9)
    assert not breaker.is_open(2.0)


def test_failures_that_many_report_at_once_are_one():
    breaker = CircuitBreaker(1.0, 8.0)
    for _ in range(16):
        breaker.fail(0.0)
    assert breaker.is_open(0.9)
    assert not breaker.is_open(1.0)


def test_a_success_makes_the_next_cool_down_short_again():
    breaker = CircuitBreaker(1.0, 8.0)
    breaker.fail(0.0)
    breaker.fail(1.0)
    breaker.succeed()
    breaker.fail(5.0)
    assert not breaker.is_open(6.0)
