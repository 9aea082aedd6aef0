"""Plans of readings: of small random models, which load in no time, and of the real one."""

from pathlib import Path

from paceline.cli.benchmark.prompt_set import BenchPrompt
from paceline.cli.evaluation.reading.plan import ModelSource, ReadingPlan
from paceline.local.core_assignment import CoreAssignment
from paceline.models.catalog import SMOLLM2_135M
from paceline.models.prepare import prepare

PROMPTS = (
    BenchPrompt("code", "add", "Add two"),
    BenchPrompt("code", "sort", "Sort"),
    BenchPrompt("prose", "sea", "The sea"),
)
QUESTIONS = (
    BenchPrompt("code", "sum", "Write a Python function that sums a list of numbers."),
    BenchPrompt("chat", "capital", "What is the capital of France?"),
)


def random_plan(
    models: dict[str, Path],
    drafts: tuple[str, ...],
    *,
    prompts: tuple[BenchPrompt, ...] = PROMPTS,
    temperatures: tuple[float, ...] = (),
    max_tokens: int = 16,
) -> ReadingPlan:
    """Models of `tests.end_to_end.tiny_cluster`, which have f32 weights."""
    sources = {name: ModelSource(name, str(path), "f32", path) for name, path in models.items()}
    return ReadingPlan(
        target=sources["target"],
        drafts=tuple(sources[name] for name in drafts),
        prompts=prompts,
        max_tokens=max_tokens,
        temperatures=temperatures,
        seed=3,
        num_draft_tokens=(2, 4),
        cores=CoreAssignment(),
    )


def smollm2_plan(*draft_weights: str, temperatures: tuple[float, ...] = ()) -> ReadingPlan:
    """The tiny pair: the same model with int8 weights, and as a draft for itself in some formats."""
    name = SMOLLM2_135M.name
    target, *drafts = (
        ModelSource(name, name, weights, prepare(name, weights)) for weights in ("int8", *draft_weights)
    )
    return ReadingPlan(
        target=target,
        drafts=tuple(drafts),
        prompts=QUESTIONS,
        max_tokens=12,
        temperatures=temperatures,
        seed=3,
        num_draft_tokens=(2, 4),
        cores=CoreAssignment(),
    )


class Steps:
    """Takes progress reports down."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, int, int]] = []

    def __call__(self, step: str, num_done: int, num_total: int) -> None:
        self.reports.append((step, num_done, num_total))

    @property
    def names(self) -> list[str]:
        """What was done, in order."""
        return list(dict.fromkeys(step for step, _, _ in self.reports))

    def check(self) -> None:
        """Nothing is ever more than done."""
        assert self.reports
        assert all(0 <= num_done <= num_total for _, num_done, num_total in self.reports)
