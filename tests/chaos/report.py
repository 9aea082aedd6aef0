"""What a run found, for people and for programs."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.chaos.fault import FaultKind
from tests.chaos.record import Record
from tests.chaos.spread import Spread

PAUSE_BOUND_SECONDS = 30.0


@dataclass(frozen=True)
class Report:
    """Everything that a run has found; it was well where `wrong` is empty."""

    seed: int
    num_faults: int
    num_clients: int
    seconds: float
    faults: Counter[FaultKind]
    record: Record
    wrong: tuple[str, ...]

    @property
    def reproduction(self) -> str:
        """The command that does the same again, as far as a machine allows."""
        return f'make chaos ARGS="--faults {self.num_faults} --clients {self.num_clients} --seed {self.seed}"'

    def lines(self) -> Iterator[str]:
        """Yield the report for people."""
        record = self.record
        yield f"{self.faults.total()} faults of {len(self.faults)} kinds in {self.seconds:.0f} s, seed {self.seed}"
        for kind, number in sorted(self.faults.items()):
            yield f"  {number:4} {kind}"
        yield (
            f"{record.num_finished} streams of {self.num_clients} clients finished with {record.num_tokens} tokens, "
            f"{record.num_finished_by_shipped_clients} of them by paceline.client; "
            f"of the others' breaks {record.num_resumes} were resumed, {record.num_restarts} begun again"
        )
        yield "streams broken by reason: " + (_counts(record.breaks) or "none")
        yield "rounds without their draft: " + (_counts(record.degraded) or "none")
        yield f"pause of a broken stream: {Spread.of(record.pauses)}"
        yield f"longest wait of each stream: {Spread.of(record.waits)}, bound {PAUSE_BOUND_SECONDS:.0f} s"
        yield from self._recovery_lines()
        for wrong in self.wrong:
            yield f"WRONG: {wrong}"
        yield (
            f"again: {self.reproduction}" if self.wrong else "every text as undisturbed, nothing left behind"
        )

    def _recovery_lines(self) -> Iterator[str]:
        recoveries = self.record.recoveries
        reasons = Counter[str]()
        for recovery in recoveries:
            reasons.update(recovery.num_failovers)
        yield f"failovers inside streams: {_counts(reasons) or 'none'}"
        if recoveries:
            yield f"  to notice:    {Spread.of([one.detection_seconds for one in recoveries])}"
            yield f"  to take over: {Spread.of([one.takeover_seconds for one in recoveries])}"
            yield f"  to rebuild:   {Spread.of([one.rebuild_seconds for one in recoveries])}"

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        record = self.record
        return {
            "seed": self.seed,
            "seconds": self.seconds,
            "num_clients": self.num_clients,
            "faults_by_kind": {str(kind): number for kind, number in sorted(self.faults.items())},
            "num_faults": self.faults.total(),
            "num_streams_finished": record.num_finished,
            "num_streams_finished_by_shipped_clients": record.num_finished_by_shipped_clients,
            "num_tokens": record.num_tokens,
            "num_resumes": record.num_resumes,
            "num_restarts": record.num_restarts,
            "num_breaks_by_reason": dict(record.breaks),
            "num_degraded_rounds_by_reason": dict(record.degraded),
            "pause_seconds": Spread.of(record.pauses)._asdict(),
            "longest_wait_seconds": Spread.of(record.waits)._asdict(),
            "wait_bound_seconds": PAUSE_BOUND_SECONDS,
            "wrong": list(self.wrong),
            "reproduction": self.reproduction,
        }


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.most_common())
