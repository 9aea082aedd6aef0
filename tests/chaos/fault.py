"""What can go wrong, as plain data."""

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What is done to a victim."""

    KILL = "kill"  # SIGKILL; started again at the same address after the fault's seconds, with empty caches
    PAUSE = "pause"  # SIGSTOP, and SIGCONT after the fault's seconds
    DRAIN = "drain"  # SIGTERM; started again when it has ended
    PARTITION = "partition"  # the link carries nothing, and afterwards what was sent meanwhile: late messages
    RESET = "reset"  # the link's connections break, and no new one comes about
    DELAY = "delay"  # each byte on the link is late
    LIE = "lie"  # a draft answers nonsense
    DUPLICATE = "duplicate"  # a client resumes at two orchestrators at once
    VANISH = "vanish"  # a client goes away and resumes after the fault's seconds
    DAWDLE = "dawdle"  # a client reads nothing for the fault's seconds


class Part(StrEnum):
    """What it is done to."""

    TARGET = "target"
    DRAFT = "draft"
    ORCHESTRATOR = "orchestrator"
    REDIS = "redis"
    CLIENT = "client"
    TARGET_LINK = "target link"
    DRAFT_LINK = "draft link"
    REDIS_LINK = "redis link"
    CLIENT_LINK = "client link"


@dataclass(frozen=True, order=True)
class FaultKind:
    """An action on a part."""

    action: Action
    part: Part

    def __str__(self) -> str:
        return f"{self.action} {self.part}"


@dataclass(frozen=True)
class Fault:
    """One fault: `victim` is a node, a link or a client; it begins `at_seconds` and lasts `seconds`."""

    kind: FaultKind
    victim: str
    at_seconds: float
    seconds: float


SERVICES = (Part.TARGET, Part.DRAFT, Part.ORCHESTRATOR)
LINKS = (Part.TARGET_LINK, Part.DRAFT_LINK, Part.REDIS_LINK, Part.CLIENT_LINK)
KINDS: tuple[FaultKind, ...] = (
    *(
        FaultKind(action, part)
        for part in (*SERVICES, Part.REDIS)
        for action in (Action.KILL, Action.PAUSE, Action.DRAIN)
    ),
    *(FaultKind(action, part) for part in LINKS for action in (Action.PARTITION, Action.RESET, Action.DELAY)),
    FaultKind(Action.LIE, Part.DRAFT),
    *(FaultKind(action, Part.CLIENT) for action in (Action.DUPLICATE, Action.VANISH, Action.DAWDLE)),
)
