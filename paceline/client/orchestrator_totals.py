"""What an orchestrator has done: at the orchestrator and for operators."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from paceline.v1 import status_service_pb2 as pb


@dataclass(frozen=True)
class OrchestratorTotals:
    """Numbers that only grow while a process lives, as `paceline.v1.OrchestratorTotals` has them.

    Those of several orchestrators can be added, and earlier ones of the same process subtracted.
    """

    num_generations: int = 0
    num_finished_generations: Mapping[str, int] = field(default_factory=dict[str, int])
    num_failed_generations: Mapping[str, int] = field(default_factory=dict[str, int])
    num_prompt_tokens: int = 0
    num_tokens_by_origin: Mapping[str, int] = field(default_factory=dict[str, int])
    num_rounds_by_drafter: Mapping[str, int] = field(default_factory=dict[str, int])
    num_draft_tokens: int = 0
    num_accepted_tokens: int = 0
    num_proposals_by_ahead_outcome: Mapping[str, int] = field(default_factory=dict[str, int])
    num_degraded_rounds: Mapping[str, int] = field(default_factory=dict[str, int])
    num_failovers: Mapping[str, int] = field(default_factory=dict[str, int])
    round_seconds_by_part: Mapping[str, float] = field(default_factory=dict[str, float])
    num_speedup_estimates: int = 0
    speedup_sum: float = 0.0

    def __add__(self, other: Self) -> Self:
        return self._combined(other, 1)

    def __sub__(self, earlier: Self) -> Self:
        return self._combined(earlier, -1)

    @classmethod
    def from_message(cls, message: pb.OrchestratorTotals) -> Self:
        """Return the totals of the message."""
        values = {one.name: getattr(message, one.name) for one in fields(cls)}
        return cls(**{name: _plain(value) for name, value in values.items()})

    def to_message(self) -> pb.OrchestratorTotals:
        """Return them as the message."""
        return pb.OrchestratorTotals(**{one.name: getattr(self, one.name) for one in fields(self)})

    def _combined(self, other: Self, sign: int) -> Self:
        pairs = {one.name: (getattr(self, one.name), getattr(other, one.name)) for one in fields(self)}
        return type(self)(**{name: _sum(one, another, sign) for name, (one, another) in pairs.items()})


def _plain(value: Any) -> Any:
    return value if isinstance(value, int | float) else dict(sorted(value.items()))


def _sum(one: Any, other: Any, sign: int) -> Any:
    if isinstance(one, int | float):
        return one + sign * other
    return {name: one.get(name, 0) + sign * other.get(name, 0) for name in one.keys() | other.keys()}
