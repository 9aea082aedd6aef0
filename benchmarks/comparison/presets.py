"""Cells that belong together: a quick look, what issue 5 wants shown, and everything."""

from collections.abc import Sequence
from itertools import product

from benchmarks.comparison.cell import CLOSED, POISSON, Arrivals, Cell
from benchmarks.comparison.system import System, systems_of
from benchmarks.peers.exchange import RoundTrips

ONE_CORE_EACH = "draft=0,target=1"
SHARED_CORES = "draft=0-1,target=0-1,orchestrator=0-1"
KINDS = ("code", "prose", "summary", "chat", "japanese")
SESSIONS = (1, 4, 16, 32)
ROUND_TRIPS_MS = (0.0, 1.0, 5.0, 15.0, 50.0)
SHOWS = (1, 2, 3, 4, 6)
# Requests a second; about half of what two cores can serve of the reference pair.
POISSON_RATE = 0.15
NUM_POISSON_SESSIONS = 8

OURS = ("ours-target", "ours-fixed", "ours-adaptive")
TWO_OF_OURS = ("ours-target", "ours-adaptive")
GENAI = ("genai-target", "genai-speculative")


def quick_cells(numbers: Sequence[int]) -> tuple[Cell, ...]:
    """Code and prose, one session, all peers but transformers, on the same cores."""
    systems = systems_of((*TWO_OF_OURS, *GENAI), numbers)
    return tuple(Cell(SHARED_CORES, kind, 1, systems) for kind in ("code", "prose"))


def shown_cells(numbers: Sequence[int], shows: Sequence[int]) -> tuple[Cell, ...]:
    """What issue 5 wants shown, by the numbers of its list; a cell that serves two is measured once."""
    cells = {
        1: _speed_ups(numbers),
        2: _against_peers(numbers),
        3: _never_slower(numbers),
        4: _over_distance(numbers),
        6: _many_sessions(numbers),
    }
    return tuple(dict.fromkeys(cell for show in shows for cell in cells[show]))


def full_cells(numbers: Sequence[int]) -> tuple[Cell, ...]:
    """Every kind, number of sessions and distance, transformers and random arrivals too, though not each with each."""
    everything = systems_of((*OURS, *GENAI, "transformers-target", "transformers-assisted"), numbers)
    ours, two = systems_of(OURS, numbers), systems_of(TWO_OF_OURS, numbers)
    crowd = systems_of((*TWO_OF_OURS, *GENAI), numbers[:1])
    arrivals = Arrivals(POISSON, POISSON_RATE)
    return (
        *(Cell(SHARED_CORES, kind, 1, everything) for kind in KINDS),
        *(Cell(SHARED_CORES, kind, num, crowd) for num, kind in product(SESSIONS[1:], KINDS)),
        *(Cell(SHARED_CORES, kind, NUM_POISSON_SESSIONS, crowd, arrivals=arrivals) for kind in KINDS),
        *(Cell(ONE_CORE_EACH, kind, 1, ours, temperature=one) for one, kind in product((0.0, 0.7), KINDS)),
        *(Cell(ONE_CORE_EACH, kind, num, two) for num, kind in product(SESSIONS[1:], KINDS)),
        *(
            Cell(ONE_CORE_EACH, kind, 1, two, RoundTrips(rtt, far))
            for rtt, kind in product(ROUND_TRIPS_MS, KINDS)
            for far in dict.fromkeys((0.0, rtt))
        ),
        *(
            Cell(ONE_CORE_EACH, "code", num, two, RoundTrips(rtt, 0.0))
            for rtt, num in product(ROUND_TRIPS_MS, SESSIONS[1:])
        ),
    )


def product_of(
    cores: str,
    kinds: Sequence[str],
    sessions: Sequence[int],
    round_trips: Sequence[RoundTrips | None],
    temperatures: Sequence[float],
    arrivals: Arrivals,
    systems: tuple[System, ...],
) -> tuple[Cell, ...]:
    """Every combination; over a distance only ours, as the peers are one process."""
    return tuple(
        Cell(cores, kind, num, _able(systems, distance), distance, temperature, arrivals)
        for distance, num, temperature, kind in product(round_trips, sessions, temperatures, kinds)
        if _able(systems, distance)
    )


def _able(systems: tuple[System, ...], distance: RoundTrips | None) -> tuple[System, ...]:
    return systems if distance is None else tuple(one for one in systems if one.peer == "ours")


def _speed_ups(numbers: Sequence[int]) -> tuple[Cell, ...]:
    ours = systems_of(OURS, numbers)
    return (
        Cell(ONE_CORE_EACH, "code", 1, ours),
        Cell(ONE_CORE_EACH, "prose", 1, ours),
        Cell(ONE_CORE_EACH, "code", 1, ours, temperature=0.7),
    )


def _against_peers(numbers: Sequence[int]) -> tuple[Cell, ...]:
    systems = systems_of((*OURS, *GENAI), numbers)
    # Far behind everywhere: one kind is enough to say so.
    with_transformers = (*systems, *systems_of(("transformers-assisted",), numbers[-1:]))
    return tuple(
        Cell(SHARED_CORES, kind, 1, with_transformers if kind == "code" else systems) for kind in KINDS
    )


def _never_slower(numbers: Sequence[int]) -> tuple[Cell, ...]:
    ours, two = systems_of(OURS, numbers), systems_of(TWO_OF_OURS, numbers)
    arrivals = Arrivals(POISSON, POISSON_RATE)
    return (
        *(Cell(ONE_CORE_EACH, kind, 1, ours) for kind in ("code", "prose")),  # as in Show 1
        *(Cell(ONE_CORE_EACH, kind, 1, two) for kind in ("summary", "chat", "japanese")),
        *(Cell(ONE_CORE_EACH, kind, num, two) for num in (4, 16) for kind in ("code", "prose")),
        Cell(ONE_CORE_EACH, "code", 32, two),
        *(
            Cell(ONE_CORE_EACH, kind, 1, two, RoundTrips(rtt, 0.0))
            for rtt in ROUND_TRIPS_MS
            for kind in (("code", "prose") if rtt in {0.0, 15.0, 50.0} else ("code",))
        ),
        Cell(ONE_CORE_EACH, "code", 1, two, RoundTrips(15.0, 15.0)),
        Cell(ONE_CORE_EACH, "code", 16, two, RoundTrips(15.0, 0.0)),
        Cell(ONE_CORE_EACH, "code", NUM_POISSON_SESSIONS, two, arrivals=arrivals),
    )


def _over_distance(numbers: Sequence[int]) -> tuple[Cell, ...]:
    two = systems_of(TWO_OF_OURS, numbers)
    return tuple(
        Cell(ONE_CORE_EACH, kind, 1, two, RoundTrips(rtt, 0.0))
        for rtt in (0.0, 15.0)
        for kind in ("code", "prose")
    )


def _many_sessions(numbers: Sequence[int]) -> tuple[Cell, ...]:
    systems = systems_of((*TWO_OF_OURS, *GENAI), numbers[:1])
    return tuple(
        Cell(SHARED_CORES, kind, 16, systems, arrivals=Arrivals(CLOSED)) for kind in ("code", "prose")
    )
