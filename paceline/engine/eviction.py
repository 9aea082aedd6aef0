"""Who loses its blocks first: a decision from plain data."""

from collections.abc import Iterable, Set

from paceline.engine.sequence import Sequence


def eviction_order(
    idle: Iterable[Sequence], waiting: Set[int], protected_since: float, *, may_preempt: bool
) -> list[Sequence]:
    """Return the sequences without a running work that may be evicted, the first one first.

    The longest idle come first. A live sequence whose last work ended after `protected_since` (on the monotonic
    clock), or that has a work waiting (its id() is in `waiting`), is a session between two rounds. Those come last,
    and only with `may_preempt`: the one that began last, so that the others need not all be computed again in turn.

    Example: idle since 10, 20, 30 and 31, protected since 25, the one of 31 begun before the one of 30: 10, 20, 30, 31.
    """
    order = sorted(idle, key=lambda one: (id(one) in waiting, one.idle_since))
    unused = [one for one in order if not is_between_rounds(one, waiting, protected_since)]
    if not may_preempt:
        return unused
    between_rounds = [one for one in order if is_between_rounds(one, waiting, protected_since)]
    between_rounds.sort(key=lambda one: (id(one) in waiting, -one.admission))
    return unused + between_rounds


def is_between_rounds(one: Sequence, waiting: Set[int], protected_since: float) -> bool:
    """Return whether a sequence without a running work is a session between two rounds."""
    return one.is_live and (one.idle_since > protected_since or id(one) in waiting)
