"""Who asks what, and when: the same for every system of a trial."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.comparison.cell import CLOSED, Cell
from benchmarks.peers.exchange import Client, Load, Manner, Question

SEED_STRIDE = 1000  # more than a trial has questions


@dataclass(frozen=True)
class Amount:
    """How much is measured in a cell.

    Attributes:
        num_repeats: How often each group of prompts is measured, at least.
        num_groups: Groups of prompts a repeat, each a trial of its own; another start among the kind's prompts each.
        num_questions_per_session: In a closed loop, how many a session asks one after the other.
        max_tokens: Most tokens of an answer.
        seed: What arrivals and sampling are drawn with.
    """

    num_repeats: int
    num_groups: int
    num_questions_per_session: int
    max_tokens: int
    seed: int


@dataclass(frozen=True)
class Prompt:
    """A prompt as ids."""

    name: str
    ids: tuple[int, ...]


def trial_places(amount: Amount) -> list[tuple[int, int]]:
    """Return (repeat, group) of every trial in order."""
    return [(repeat, group) for repeat in range(amount.num_repeats) for group in range(amount.num_groups)]


def clients_of(
    cell: Cell, amount: Amount, prompts: Sequence[Prompt], repeat: int, group: int
) -> tuple[Client, ...]:
    """Return the clients of one trial.

    A group begins at another prompt of the kind and goes round. Example: prompts a b c, two sessions, group 1: b and c.
    """
    num_each = amount.num_questions_per_session if cell.arrivals.kind == CLOSED else 1
    starts = start_seconds(cell, amount.seed + repeat)
    numbers = range(cell.num_sessions * num_each)
    questions = [_question(prompts, group, number, amount.seed, repeat) for number in numbers]
    return tuple(
        Client(start, tuple(questions[session * num_each : (session + 1) * num_each]))
        for session, start in enumerate(starts)
    )


def start_seconds(cell: Cell, seed: int) -> list[float]:
    """Return when each session begins: at once, or after gaps that are exponentially distributed."""
    if cell.arrivals.kind == CLOSED:
        return [0.0] * cell.num_sessions
    gaps = random.Random(seed)
    starts = [0.0]
    while len(starts) < cell.num_sessions:
        starts.append(starts[-1] + gaps.expovariate(cell.arrivals.rate))
    return starts


def load_of(
    clients: tuple[Client, ...], manner: Manner, cell: Cell, amount: Amount, eos_ids: tuple[int, ...]
) -> Load:
    """Return what a system is told."""
    return Load(clients, manner, amount.max_tokens, eos_ids, cell.temperature)


def _question(prompts: Sequence[Prompt], group: int, number: int, seed: int, repeat: int) -> Question:
    place = (group + number) % len(prompts)
    prompt = prompts[place]
    # Another seed each time a prompt comes again in a trial, or in another repeat.
    return Question(prompt.name, prompt.ids, SEED_STRIDE * (seed + repeat) + group + number)
