"""What is measured: a peer and how it generates."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers.exchange import Manner
from benchmarks.peers.setup import PeerName
from paceline.errors import ConfigError

TARGET = Manner("target")
ADAPTIVE = Manner("adaptive")
FIXED = "fixed"
# What --systems takes; "fixed" ones are measured with each of --num-draft-tokens.
WORDS: dict[str, tuple[PeerName, Manner | None]] = {
    "ours-target": ("ours", TARGET),
    "ours-fixed": ("ours", None),
    "ours-adaptive": ("ours", ADAPTIVE),
    "genai-target": ("genai", TARGET),
    "genai-speculative": ("genai", None),
    "transformers-target": ("transformers", TARGET),
    "transformers-assisted": ("transformers", None),
}
PEER_TITLES: dict[PeerName, str] = {
    "ours": "Paceline",
    "genai": "OpenVINO GenAI",
    "transformers": "transformers",
}


@dataclass(frozen=True, order=True)
class System:
    """A peer with a manner; `key` names it in results, `title` for people."""

    peer: PeerName
    manner_kind: str
    num_draft_tokens: int = 0

    @property
    def manner(self) -> Manner:
        """How it generates."""
        if self.manner_kind == FIXED:
            return Manner("fixed", self.num_draft_tokens)
        return ADAPTIVE if self.manner_kind == ADAPTIVE.kind else TARGET

    @property
    def key(self) -> str:
        """For example "genai-k5"."""
        suffix = f"k{self.num_draft_tokens}" if self.manner_kind == FIXED else self.manner_kind
        return f"{self.peer}-{suffix}"

    @property
    def title(self) -> str:
        """For example "OpenVINO GenAI, K = 5"."""
        return f"{PEER_TITLES[self.peer]}, {self.manner.name}"


OURS_TARGET = System("ours", "target")
OURS_ADAPTIVE = System("ours", "adaptive")
GENAI_TARGET = System("genai", "target")


def systems_of(words: Sequence[str], numbers: Sequence[int]) -> tuple[System, ...]:
    """Return the systems that words stand for, the fixed ones with each number of draft tokens.

    Raises ConfigError, naming the words that there are.
    """
    if unknown := [word for word in words if word not in WORDS]:
        raise ConfigError(f"--systems {','.join(unknown)}: there are {', '.join(WORDS)}", setting="systems")
    systems: list[System] = []
    for word in words:
        peer, manner = WORDS[word]
        if manner is None:
            systems += [System(peer, FIXED, number) for number in numbers]
        else:
            systems.append(System(peer, manner.kind))
    return tuple(systems)


def system_of(key: str) -> System:
    """Return the system of a key."""
    peer, _, suffix = key.partition("-")
    if suffix.startswith("k") and suffix[1:].isdecimal():
        return System(peer, FIXED, int(suffix[1:]))  # pyright: ignore[reportArgumentType]
    return System(peer, suffix)  # pyright: ignore[reportArgumentType]
