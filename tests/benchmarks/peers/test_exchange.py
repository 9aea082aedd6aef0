"""What the suite and a peer tell each other."""

import pytest

from benchmarks.peers.exchange import (
    Answer,
    Arrival,
    Client,
    Failure,
    Load,
    Manner,
    Outcome,
    Question,
    Ready,
    RoundTrips,
    read_envelope,
    read_order,
    write_envelope,
    write_order,
)

ANSWER = Answer("a", 1.0, (5, 6, 7, 8), (Arrival(0.5, 1), Arrival(1.0, 2), Arrival(1.2, 1)))


@pytest.mark.parametrize(
    "message",
    [Ready({"target": 7}, "int8"), Outcome((ANSWER,), 10, 4), Failure("no memory"), RoundTrips(15.0, 0.0)],
)
def test_a_peers_messages_come_back_as_they_were(message: Ready | Outcome | Failure | RoundTrips) -> None:
    line = write_envelope(message)
    assert line.count(b"\n") == 1
    assert read_envelope(line) == message


def test_orders_come_back_as_they_were() -> None:
    load = Load((Client(0.5, (Question("a", (1, 2), 3),)),), Manner("fixed", 5), 8, (2,), 0.7)
    assert read_order(write_order(load)) == load
    assert read_order(write_order(RoundTrips(1.0, 2.0))) == RoundTrips(1.0, 2.0)


def test_tokens_that_come_together_share_their_time() -> None:
    assert ANSWER.token_seconds == pytest.approx((0.25, 0.25, 0.2))
    assert ANSWER.time_to_first_token_seconds == 0.5


def test_an_outcome_counts_from_the_first_question_to_the_last_token() -> None:
    late = Answer("b", 3.0, (1, 2), (Arrival(1.0, 1), Arrival(2.0, 1)))
    outcome = Outcome((ANSWER, late))
    assert outcome.seconds == 4.0
    assert outcome.tokens_per_second == 1.5
    assert outcome.decode_tokens_per_second == pytest.approx(3 / 0.7 + 1.0)


def test_an_answer_that_came_at_once_has_no_rate_after_its_first_tokens() -> None:
    assert Outcome((Answer("a", 0.0, (1,), (Arrival(1.0, 1),)),)).decode_tokens_per_second is None
