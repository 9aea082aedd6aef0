"""Places are given fairly: by weight, to all who wait, none left free, nobody forgotten."""

from collections import Counter, deque
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.fair_line import FairLine, Ticket
from orchestrator.tenant import Tenant

WEIGHTS = st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0, 7.0]), min_size=1, max_size=5)
# What happens next: a request of some tenant for some places, or the end of one that has places.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.integers(0, 4), st.integers(1, 3)),
        st.tuples(st.just("end"), st.integers(0, 30), st.just(0)),
    ),
    max_size=60,
)


class Play:
    """A line, who has places in it, and what must hold whenever some are given out."""

    def __init__(self, num_places: int, weights: list[float], max_waiting: int = 1000) -> None:
        self.num_places = num_places
        self.tenants = [Tenant(f"t{number}", weight=weight) for number, weight in enumerate(weights)]
        self.weights = {tenant.name: tenant.weight for tenant in self.tenants}
        self.line = FairLine(num_places, max_waiting)
        self.running: list[Ticket] = []
        self.waiting: dict[str, deque[Ticket]] = {name: deque() for name in self.weights}
        self.served: Counter[str] = Counter()

    def join(self, number: int, num_places: int = 1) -> Ticket:
        ticket = self.wait(number, num_places)
        self.serve()
        return ticket

    def wait(self, number: int, num_places: int = 1) -> Ticket:
        ticket = self.line.join(self.tenants[number % len(self.tenants)], num_places)
        self.waiting[ticket.tenant].append(ticket)
        return ticket

    def end(self, number: int = 0) -> None:
        if self.running:
            ticket = self.running.pop(number % len(self.running))
            for _ in range(2):  # once is enough
                self.line.leave(ticket)
            self.serve()

    def serve(self) -> None:
        for ticket in self.line.serve():
            part = self.part(ticket.tenant)
            assert all(part <= self.part(name) for name, waiting in self.waiting.items() if waiting)
            assert self.waiting[ticket.tenant].popleft() is ticket, "within a tenant the first comes first"
            self.running.append(ticket)
            self.served[ticket.tenant] += ticket.num_places
        num_taken = sum(one.num_places for one in self.running)
        assert self.line.num_taken == num_taken <= self.num_places
        assert self.line.num_waiting == sum(map(len, self.waiting.values()))
        if self.line.num_waiting:
            num_wanted = max(waiting[0].num_places for waiting in self.waiting.values() if waiting)
            assert num_taken + num_wanted > self.num_places, "no place is free that the next one could use"

    def part(self, name: str) -> float:
        return sum(one.num_places for one in self.running if one.tenant == name) / self.weights[name]


@given(st.integers(3, 8), WEIGHTS, STEPS)
def test_who_has_least_for_its_weight_is_next_and_all_are_served_in_the_end(num_places, weights, steps):
    play = Play(num_places, weights)
    num_wanted = 0
    for step, number, places in steps:
        if step == "join":
            num_wanted += places
            play.join(number, places)
        else:
            play.end(number)
    while play.running:
        play.end()
    assert play.line.num_waiting == 0
    assert play.served.total() == num_wanted


@settings(max_examples=20)
@given(
    st.lists(st.sampled_from([1.0, 2.0, 3.0, 5.0]), min_size=2, max_size=4),
    st.lists(st.integers(0, 23), max_size=20),
)
def test_the_places_of_tenants_that_always_want_more_are_in_proportion_to_their_weights(weights, ends):
    play = Play(24, weights)
    for number in range(len(weights)):
        for _ in range(24 + len(ends)):
            play.wait(number)
    play.serve()
    for number in (*ends, 0):
        play.end(number)
        parts = {name: play.part(name) for name in play.weights}
        assert all(
            parts[name] - 1 / weight <= min(parts.values()) + 1e-9 for name, weight in play.weights.items()
        )


@settings(max_examples=20)
@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, 5.0]), min_size=2, max_size=4))
def test_at_a_single_place_turns_are_in_proportion_to_the_weights(weights):
    play = Play(1, weights)
    for number in range(len(weights)):
        for _ in range(200):
            play.join(number)
    for _ in range(100):
        play.end()
        for one in weights_of(play):
            for other in weights_of(play):
                assert abs(one[0] - other[0]) <= 1 / one[1] + 1 / other[1] + 1e-9


def weights_of(play: Play) -> list[tuple[float, float]]:
    return [(play.served[name] / weight, weight) for name, weight in play.weights.items()]


def test_the_one_request_of_a_tenant_is_next_however_many_of_another_wait():
    play = Play(2, [1.0, 1.0])
    for _ in range(1000):
        play.join(0)
    only = play.join(1)
    assert only not in play.running
    play.end()
    assert only in play.running


def test_a_tenant_that_wanted_nothing_for_long_has_saved_up_no_turns():
    play = Play(1, [1.0, 1.0])
    for _ in range(50):
        play.join(0)
        play.end()
    for _ in range(20):
        play.join(0)
        play.join(1)
    turns = []
    for _ in range(30):
        turns.append(play.running[0].tenant)
        play.end()
    assert all(one != other for one, other in pairwise(turns[1:]))


def test_a_request_for_many_places_is_not_overtaken_by_its_own_tenants_small_ones():
    play = Play(4, [1.0])
    play.join(0, 2)
    large = play.join(0, 4)
    small = play.join(0, 1)
    assert (large in play.running, small in play.running) == (False, False)
    play.end()
    assert large in play.running


@given(st.integers(0, 6), WEIGHTS, st.lists(st.integers(0, 4), max_size=40))
def test_a_line_that_is_too_long_loses_the_last_of_those_who_have_most(max_waiting, weights, joins):
    play = Play(1, weights, max_waiting)
    for number in joins:
        ticket = play.join(number)
        before = {name: len(waiting) / play.weights[name] for name, waiting in play.waiting.items()}
        for gone in play.line.shorten():
            assert before[gone.tenant] == max(before.values())
            assert play.waiting[gone.tenant].pop() is gone
            assert gone.tenant == ticket.tenant or before[gone.tenant] >= before[ticket.tenant]
        assert play.line.num_waiting <= max_waiting


def test_a_tenant_that_leaves_the_line_gives_way():
    play = Play(1, [1.0, 1.0])
    play.join(0)
    gone, stays = play.join(1), play.join(0)
    play.line.leave(gone)
    play.waiting["t1"].remove(gone)
    play.end()
    assert play.running == [stays]
    assert play.line.num_waiting_by_tenant() == {"t0": 0, "t1": 0}
