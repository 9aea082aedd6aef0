"""Ways to compute the same passes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.passes.measured import EXACT, OFF
from paceline.engine.config import AttentionKind, GraphUse, Invariance

_INVARIANCE: dict[str, Invariance] = {EXACT: "prefer", OFF: "off"}
MODES = tuple(_INVARIANCE)


@dataclass(frozen=True)
class Way:
    """One way.

    Attributes:
        mode: EXACT or OFF.
        attention: What reads the KV cache; "auto" in the mode OFF, which has one.
        cuda_graphs: Whether forwards are captured; only exact ones can be.
        name: In tables: the mode, and what else tells it apart.
    """

    mode: str
    attention: AttentionKind
    cuda_graphs: GraphUse
    name: str

    @property
    def invariance(self) -> Invariance:
        """What the engine is to promise."""
        return _INVARIANCE[self.mode]


def ways(
    modes: Sequence[str], attentions: Sequence[AttentionKind], graphs: Sequence[GraphUse]
) -> Iterator[Way]:
    """Yield each mode, and the exact one in every combination, named by what differs.

    Example: exact and off, strides and flex, auto: "exact, strides", "exact, flex" and "off".
    """
    for mode in modes:
        if mode == OFF:
            yield Way(OFF, "auto", "off", OFF)
            continue
        for attention in attentions:
            for use in graphs:
                named = [mode, *([attention] if len(attentions) > 1 else [])]
                named += [f"graphs {use}"] if len(graphs) > 1 else []
                yield Way(mode, attention, use, ", ".join(named))
