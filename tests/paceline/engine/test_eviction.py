"""Who loses its blocks first."""

from paceline.engine.block_pool import BlockPool
from paceline.engine.eviction import eviction_order
from paceline.engine.sequence import Sequence

PROTECTED_SINCE = 25.0


def sequence(idle_since: float, admission: int = 1) -> Sequence:
    one = Sequence(BlockPool(2, 4))
    one.idle_since, one.admission = idle_since, admission
    return one


def test_the_longest_idle_come_first_and_sessions_between_rounds_last_the_last_begun_first() -> None:
    late, early, later, earlier = sequence(31, 3), sequence(30, 4), sequence(20, 1), sequence(10, 2)
    idle = [late, early, later, earlier]
    assert eviction_order(idle, set(), PROTECTED_SINCE, may_preempt=False) == [earlier, later]
    assert eviction_order(idle, set(), PROTECTED_SINCE, may_preempt=True) == [earlier, later, early, late]


def test_a_session_whose_round_waits_comes_after_all_others() -> None:
    waiting, idle, recent = sequence(1), sequence(20), sequence(30)
    order = eviction_order([waiting, idle, recent], {id(waiting)}, PROTECTED_SINCE, may_preempt=True)
    assert order == [idle, recent, waiting]
    assert eviction_order([waiting], {id(waiting)}, PROTECTED_SINCE, may_preempt=False) == []


def test_what_a_newcomer_has_only_inherited_is_not_protected() -> None:
    forked, idle = sequence(0, admission=0), sequence(20)
    assert eviction_order([forked, idle], {id(forked)}, PROTECTED_SINCE, may_preempt=False) == [idle, forked]
