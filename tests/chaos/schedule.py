"""Which faults come when: a seed in, a list out. Clients always keep a way to a target, or get it back in seconds."""

import random
from collections.abc import Iterator, Sequence

from tests.chaos.fault import KINDS, SERVICES, Action, Fault, FaultKind, Part
from tests.chaos.topology import REDIS, Topology

MEAN_GAP_SECONDS = 0.8
FIRST_SECONDS = 0.5
STEP_SECONDS = 0.25
# A service that has been killed or drained needs so long until it serves again.
START_SECONDS = 6.0
RECOVERY_SECONDS = 0.5
# From shortest to longest. Pauses and partitions of a service outlive the cluster's lease as often as not.
SECONDS: dict[Action, tuple[float, float]] = {
    Action.KILL: (0.0, 2.0),
    Action.PAUSE: (0.2, 5.0),
    Action.DRAIN: (0.0, 0.5),
    Action.PARTITION: (0.3, 5.0),
    Action.RESET: (0.0, 2.0),
    Action.DELAY: (1.0, 4.0),
    Action.LIE: (1.0, 4.0),
    Action.DUPLICATE: (0.0, 0.0),
    Action.VANISH: (0.0, 4.0),
    Action.DAWDLE: (0.2, 2.0),
}
LONGEST_REDIS_SECONDS = 1.5  # there is one Redis only: everybody waits for it
_HARMLESS = {Action.DELAY, Action.LIE, Action.DUPLICATE, Action.VANISH, Action.DAWDLE}


def schedule(
    seed: int, num_faults: int, topology: Topology, kinds: Sequence[FaultKind] = KINDS
) -> list[Fault]:
    """Return faults in the order of their time; each kind comes as often as any other, give or take one."""
    dice = random.Random(seed)
    faults: list[Fault] = []
    at_seconds = FIRST_SECONDS
    for kind in _dealt(dice, num_faults, [one for one in kinds if is_possible(one, topology)]):
        at_seconds += dice.expovariate(1 / MEAN_GAP_SECONDS)
        seconds = round(_duration(dice, kind), 2)
        victims = list(topology.members(kind.part))
        dice.shuffle(victims)
        fault = _first_survivable(faults, kind, victims, round(at_seconds, 2), seconds, topology)
        faults.append(fault)
        at_seconds = fault.at_seconds
    return faults


def is_possible(kind: FaultKind, topology: Topology) -> bool:
    """Whether a topology survives a kind of fault by itself; to resume twice takes two orchestrators."""
    if kind.action is Action.DUPLICATE and topology.num_orchestrators < 2:
        return False
    return any(
        is_survivable([Fault(kind, victim, 0.0, 0.0)], topology) for victim in topology.members(kind.part)
    )


def end_seconds(fault: Fault) -> float:
    """When a fault's victim is whole again, as far as a plan can know."""
    restarts = fault.kind.action in {Action.KILL, Action.DRAIN} and fault.kind.part in SERVICES
    return fault.at_seconds + fault.seconds + (START_SECONDS if restarts else RECOVERY_SECONDS)


def active_at(faults: Sequence[Fault], at_seconds: float) -> list[Fault]:
    """The faults that have begun by then and whose victims are not whole yet."""
    return [one for one in faults if one.at_seconds <= at_seconds < end_seconds(one)]


def is_survivable(active: Sequence[Fault], topology: Topology) -> bool:
    """Whether generations can go on: victims differ, and a way to a target is left, but for Redis' short absence."""
    victims = [one.victim for one in active if one.kind.part is not Part.CLIENT]
    hurt = frozenset(one.victim for one in active if one.kind.action not in _HARMLESS)
    return len(victims) == len(set(victims)) and topology.has_path(hurt - {REDIS})


def _dealt(dice: random.Random, num_faults: int, kinds: Sequence[FaultKind]) -> Iterator[FaultKind]:
    """Yield kinds from a shuffled deck of all of them, then from another one."""
    deck: list[FaultKind] = []
    for _ in range(num_faults):
        if not deck:
            deck = list(kinds)
            dice.shuffle(deck)
        yield deck.pop()


def _duration(dice: random.Random, kind: FaultKind) -> float:
    shortest, longest = SECONDS[kind.action]
    if kind.part is Part.REDIS:
        longest = min(longest, LONGEST_REDIS_SECONDS)
    return dice.uniform(shortest, longest)


def _first_survivable(
    faults: Sequence[Fault],
    kind: FaultKind,
    victims: Sequence[str],
    at_seconds: float,
    seconds: float,
    topology: Topology,
) -> Fault:
    """Return the fault at the first time, and there on the first victim, that the cluster survives."""
    while True:
        active = active_at(faults, at_seconds)
        for victim in victims:
            fault = Fault(kind, victim, at_seconds, seconds)
            if is_survivable([*active, fault], topology):
                return fault
        at_seconds = round(at_seconds + STEP_SECONDS, 2)
