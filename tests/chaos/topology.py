"""The names of a cluster's nodes, and of the links between them."""

from dataclasses import dataclass

from tests.chaos.fault import Part

CLIENTS = "clients"
REDIS = "redis"


@dataclass(frozen=True)
class Topology:
    """How many of each there are. A link is named `from>to`; all clients share one to each orchestrator."""

    num_targets: int = 3
    num_drafts: int = 2
    num_orchestrators: int = 2

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(f"target-{number}" for number in range(self.num_targets))

    @property
    def drafts(self) -> tuple[str, ...]:
        return tuple(f"draft-{number}" for number in range(self.num_drafts))

    @property
    def orchestrators(self) -> tuple[str, ...]:
        return tuple(f"orchestrator-{number}" for number in range(self.num_orchestrators))

    @property
    def links(self) -> tuple[str, ...]:
        parts = (Part.TARGET_LINK, Part.DRAFT_LINK, Part.REDIS_LINK, Part.CLIENT_LINK)
        return tuple(link for part in parts for link in self.members(part))

    def members(self, part: Part) -> tuple[str, ...]:
        """Everything of a kind that can be a victim; clients are chosen when the time has come."""
        match part:
            case Part.TARGET:
                return self.targets
            case Part.DRAFT:
                return self.drafts
            case Part.ORCHESTRATOR:
                return self.orchestrators
            case Part.REDIS:
                return (REDIS,)
            case Part.CLIENT:
                return (CLIENTS,)
            case Part.TARGET_LINK:
                return tuple(link(one, target) for one in self.orchestrators for target in self.targets)
            case Part.DRAFT_LINK:
                return tuple(link(one, draft) for one in self.orchestrators for draft in self.drafts)
            case Part.REDIS_LINK:
                return tuple(link(one, REDIS) for one in self.orchestrators)
            case Part.CLIENT_LINK:
                return tuple(link(CLIENTS, one) for one in self.orchestrators)

    def has_path(self, hurt: frozenset[str]) -> bool:
        """Whether a client can reach a target through nodes and links that are not `hurt`."""
        return any(
            not hurt & {one, target, link(CLIENTS, one), link(one, REDIS), link(one, target)}
            for one in self.orchestrators
            for target in self.targets
        )


def link(source: str, destination: str) -> str:
    """Return the name of a link."""
    return f"{source}>{destination}"
