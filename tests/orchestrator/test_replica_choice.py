"""A session goes where its prefix is, within limits on load and room."""

from orchestrator.replica_choice import ReplicaCandidate, best_replica


def choose(*candidates: ReplicaCandidate) -> str | None:
    best = best_replica(candidates)
    return best.address if best is not None else None


def test_without_a_prefix_anywhere_the_least_loaded_is_chosen():
    assert choose() is None
    assert choose(ReplicaCandidate("a", 2), ReplicaCandidate("b", 1), ReplicaCandidate("c", 1)) == "b"


def test_the_longest_prefix_wins():
    a, b = ReplicaCandidate("a", 1, num_prefix_ids=64), ReplicaCandidate("b", 3, num_prefix_ids=96)
    assert choose(ReplicaCandidate("c", 0), a, b._replace(num_sessions=2)) == "b"
    assert choose(a, b._replace(num_prefix_ids=64)) == "a", "the less loaded of equals"


def test_the_replica_that_served_the_session_wins_over_any_prefix():
    assert (
        choose(ReplicaCandidate("a", 0, num_prefix_ids=96), ReplicaCandidate("b", 2, is_preferred=True))
        == "b"
    )


def test_a_replica_with_clearly_more_sessions_is_not_worth_its_prefix():
    least = ReplicaCandidate("a", 2)
    assert choose(least, ReplicaCandidate("b", 5, num_prefix_ids=96)) == "b"
    assert choose(least, ReplicaCandidate("b", 6, num_prefix_ids=96)) == "a"
    assert choose(least, ReplicaCandidate("b", 6, is_preferred=True)) == "a"


def test_a_replica_without_available_blocks_is_the_last_choice():
    full = ReplicaCandidate("a", 0, num_available_blocks=0, num_prefix_ids=96, is_preferred=True)
    assert choose(full, ReplicaCandidate("b", 9, num_available_blocks=1)) == "b"
    assert choose(full, ReplicaCandidate("b", 9)) == "b"
    assert choose(full) == "a"
